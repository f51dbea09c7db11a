"""A script ends as under `python SCRIPT`, and the verdict comes after all of it."""

import time

import pytest
from conftest import python_of
from harness import Runner, wait_until

LEFT_BEHIND = {
    "process pool": """
        from concurrent.futures import ProcessPoolExecutor
        if __name__ == "__main__":
            pool = ProcessPoolExecutor(2)
            print(list(pool.map(abs, [-1, -2])), "finished")
    """,
    "process pool with work in it": """
        import time
        from concurrent.futures import ProcessPoolExecutor
        def late():
            time.sleep(0.5)
            print("finished", flush=True)
        if __name__ == "__main__":
            ProcessPoolExecutor(1).submit(late)
    """,
    "child process": """
        import multiprocessing, time
        def late():
            time.sleep(0.5)
            print("finished", flush=True)
        if __name__ == "__main__":
            multiprocessing.Process(target=late).start()
    """,
    "multiprocessing pool": """
        import multiprocessing
        if __name__ == "__main__":
            pool = multiprocessing.Pool(2)
            print(pool.map(abs, [-1, -2]), "finished")
    """,
    "thread pool before sys.exit": """
        import sys, time
        from concurrent.futures import ThreadPoolExecutor
        def late():
            time.sleep(0.5)
            print("finished")
        ThreadPoolExecutor(1).submit(late)
        sys.exit(0)
    """,
    "thread before sys.exit()": """
        import sys, threading, time
        threading.Thread(target=lambda: [time.sleep(0.5), print("finished")]).start()
        sys.exit()
    """,
    "exit function": """
        import atexit, time
        @atexit.register
        def late():
            time.sleep(0.5)
            print("finished")
    """,
    "exit function that is taken back": """
        import atexit
        def wrong():
            print("wrong")
        atexit.register(wrong)
        atexit.unregister(wrong)
        atexit.register(print, "finished")
    """,
    "finalizer": """
        import tempfile, weakref
        class Thing: pass
        thing = Thing()
        weakref.finalize(thing, print, "finished")
    """,
    "thread that needs the main module": """
        import pickle, threading, time
        class Thing: pass
        def late():
            time.sleep(0.5)
            pickle.loads(pickle.dumps(Thing()))
            print("finished")
        threading.Thread(target=late).start()
    """,
    "asyncio": """
        import asyncio
        async def main():
            await asyncio.get_event_loop().run_in_executor(None, print, "finished")
        asyncio.get_event_loop_policy().new_event_loop().run_until_complete(main())
    """,
}

ENDS = {
    "sys.exit(None)": ("import sys; sys.exit(None)", 0, "Succeeded", ""),
    "sys.exit(False)": ("import sys; sys.exit(False)", 0, "Succeeded", ""),
    "sys.exit(True)": ("import sys; sys.exit(True)", 1, "ScriptError", "the script exited: True"),
    "sys.exit(256)": ("import sys; sys.exit(256)", 1, "ScriptError", "the script exited: 256"),
    "sys.exit(0.0)": ("import sys; sys.exit(0.0)", 1, "ScriptError", "the script exited: 0.0"),
    "sys.exit('')": ("import sys; sys.exit('')", 1, "ScriptError", "the script exited"),
    "os._exit(0)": ("import os; os._exit(0)", 0, "Succeeded", ""),
    "os._exit(7)": ("import os; os._exit(7)", 1, "ScriptError", "os._exit(7)"),
    "text that fails": (
        "class E(Exception):\n    def __str__(self): return 1 / 0\nraise E()",
        1, "ScriptError", "E",
    ),
    "text that is no text": (
        "class E(Exception):\n    def __str__(self): return None\nraise E()",
        1, "ScriptError", "E",
    ),
    "exit code whose text fails": (
        "import sys\nclass E:\n    def __str__(self): return 1 / 0\nsys.exit(E())",
        1, "ScriptError", "the script exited",
    ),
    "hook that raises": (
        "import sys\ndef hook(*a): raise OSError('hook')\nsys.excepthook = hook\nraise ValueError('work')",
        1, "ScriptError", "ValueError: work",
    ),
    "hook that exits": (
        "import sys\nsys.excepthook = lambda *a: sys.exit(0)\nraise ValueError('work')",
        1, "ScriptError", "ValueError: work",
    ),
    "closed stderr": (
        "import sys\nwith open('log', 'w') as f:\n    sys.stderr = f\n", 0, "Succeeded", "",
    ),
    "closed streams": ("import sys\nsys.stdout.close(); sys.stderr.close()", 0, "Succeeded", ""),
    "no streams": ("import sys\nsys.stdout = sys.stderr = None", 0, "Succeeded", ""),
    "closed stderr and an error": (
        "import sys\nsys.stderr.close()\nraise ValueError('work')", 1, "ScriptError", "ValueError: work",
    ),
    "stream that was taken apart": (
        "import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.detach(), encoding='utf-8')\nprint('x')", 0, "Succeeded", "",
    ),
    "stream whose type fails": (
        "import io\nclass F(io.RawIOBase):\n    def flush(self): raise SystemExit(3)\n    close = flush\nf = F()\ndef g(f=F()): pass",
        0, "Succeeded", "",
    ),
    "closed descriptor": ("import os\nos.close(2)", 0, "Succeeded", ""),
    "error in an exit function": ("import atexit\natexit.register(lambda: 1 / 0)", 0, "Succeeded", ""),
    "fork whose child exits": (
        "import os, sys\nif os.fork() == 0:\n    sys.exit(3)\nassert os.wait()[1] >> 8 == 3", 0, "Succeeded", "",
    ),
    "fork whose child ends the script": (
        "import os, sys\nchild = os.fork()\nif child:\n    assert os.wait()[1] == 0\n", 0, "Succeeded", "",
    ),
    "fork whose child fails": (
        "import os, sys\nif os.fork() == 0:\n    1 / 0\nassert os.wait()[1] >> 8 == 1", 0, "Succeeded", "",
    ),
    "forks that are ended before they have begun": (
        "import os, signal, time\nfor _ in range(50):\n    child = os.fork()\n    if not child:\n        time.sleep(60)\n"
        "    os.kill(child, signal.SIGTERM)\n    assert os.wait()[1] == signal.SIGTERM",
        0, "Succeeded", "",
    ),
    "fork whose parent leaves by os._exit": (
        "import os, sys\nif os.fork() == 0:\n    sys.exit(1)\nos.wait()\nos._exit(0)", 0, "Succeeded", "",
    ),
    "environment that is cleared": ("import os\nos.environ.clear()\nos.chdir('/')", 0, "Succeeded", ""),
    "group of exceptions": (
        "class G(Exception):\n    exceptions = (KeyError('inner'),)\nraise G('several')", 1, "ScriptError", "G: several",
    ),
}


@pytest.mark.parametrize("source", LEFT_BEHIND.values(), ids=LEFT_BEHIND)
def test_what_the_script_left_behind_is_finished_first(every_python, source):
    done = every_python.run(source)
    assert (done.code, done.reason) == (0, "Succeeded"), done
    assert "finished" in done.out and "wrong" not in done.out, done
    assert done.seconds < 20, "it hung"


@pytest.mark.parametrize("case", ENDS.values(), ids=ENDS)
def test_how_it_ends(bare, case):
    source, code, reason, words = case
    done = bare.run(source)
    assert (done.code, done.reason, done.report.get("exitCode")) == (code, reason, code), done
    assert words in done.message


def test_threads_go_on_after_an_error_as_they_would(bare):
    source = """
        import threading, time
        threading.Thread(target=lambda: [time.sleep(0.5), print("finished")]).start()
        raise ValueError("main")
    """
    done = bare.run(source)
    assert (done.code, done.reason) == (1, "ScriptError"), done
    assert "finished" in done.out


def test_exit_work_that_is_long_is_waited_for(bare):
    runner = bare.with_constant("ending.py", "LINGER_S", 0.3)
    done = runner.run("import atexit, time\natexit.register(lambda: [time.sleep(1), print('uploaded')])\n")
    assert (done.code, done.out) == (0, "uploaded\n"), done


def test_exit_function_of_a_library_that_hangs_does_not_hang_the_run(bare, tmp_path):
    """A Dask client that lost its scheduler blocks in one; what the script registered before it is still done."""
    (tmp_path / "distributed.py").write_text("import atexit, time\n\ndef close():\n    time.sleep(600)\n\natexit.register(close)\n")
    runner = bare.with_constant("ending.py", "LINGER_S", 0.5)
    done = runner.run("import atexit\natexit.register(print, 'uploaded')\nimport distributed\n")
    assert (done.code, done.reason, done.out) == (0, "Succeeded", "uploaded\n"), done
    assert done.seconds < 30


CHECKPOINT = {
    "handler": """
        import signal, sys, time
        def on_sigterm(*_):
            time.sleep(2.5)
            print("checkpoint written", flush=True)
            sys.exit(0)
        signal.signal(signal.SIGTERM, on_sigterm)
        print("started", flush=True)
        time.sleep(60)
    """,
    "finally": """
        import time
        print("started", flush=True)
        try:
            time.sleep(60)
        finally:
            time.sleep(2.5)
            print("checkpoint written", flush=True)
    """,
    "handler of asyncio": """
        import asyncio, signal
        async def main():
            stopped = asyncio.Event()
            asyncio.get_event_loop().add_signal_handler(signal.SIGTERM, stopped.set)
            print("started", flush=True)
            await stopped.wait()
            await asyncio.sleep(2.5)
            print("checkpoint written", flush=True)
        asyncio.run(main())
    """,
    "exit function": """
        import atexit, time
        atexit.register(lambda: [time.sleep(2.5), print("checkpoint written", flush=True)])
        print("started", flush=True)
        time.sleep(60)
    """,
}


def terminated(runner, source, **env):
    process = runner.start(source, **env)
    wait_until(lambda: runner.output_contains("started\n"), "the script runs")
    process.terminate()
    sent = time.monotonic()
    done = runner.finish(process)
    return done, time.monotonic() - sent


@pytest.mark.parametrize("source", CHECKPOINT.values(), ids=CHECKPOINT)
def test_sigterm_gives_the_script_its_grace(bare, source):
    done, _ = terminated(bare, source, DASKFLOW_GRACE_SECONDS="30")
    assert (done.code, done.reason) == (143, "Terminated"), done
    assert "checkpoint written" in done.out


ENDLESS = {
    "handler": "import signal\nsignal.signal(signal.SIGTERM, lambda *_: time.sleep(60))",
    "handler that ignores it": "import signal\nsignal.signal(signal.SIGTERM, lambda *_: None)",
    "finally": "try:\n    print('started', flush=True)\n    time.sleep(60)\nfinally:\n    time.sleep(60)",
    "exit function": "import atexit\natexit.register(time.sleep, 60)",
}


@pytest.mark.parametrize("source", ENDLESS.values(), ids=ENDLESS)
def test_what_does_not_end_is_ended_before_the_grace_is_over(bare, source):
    source = "import time\n%s\nprint('started', flush=True)\ntime.sleep(60)\n" % source
    done, seconds = terminated(bare, source, DASKFLOW_GRACE_SECONDS="4")
    assert (done.code, done.reason) == (143, "Terminated"), done
    assert 2.0 < seconds < 4.0


def test_work_in_threads_that_is_cut_off_is_no_success(bare):
    source = "import threading, time\nthreading.Thread(target=time.sleep, args=[60]).start()\nprint('started', flush=True)\n"
    done, seconds = terminated(bare, source, DASKFLOW_GRACE_SECONDS="30")
    assert (done.code, done.reason) == (143, "Terminated"), done
    assert seconds < 20


def test_grace_is_not_waited_for_by_what_is_stuck(bare):
    source = "import hashlib\nprint('started', flush=True)\nhashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)\n"
    done, seconds = terminated(bare, source, DASKFLOW_GRACE_SECONDS="30")
    assert (done.code, done.reason) == (143, "Terminated"), done
    assert seconds < 3.0


def test_exit_work_that_is_cut_off_is_no_success(bare):
    source = "import atexit, time\natexit.register(lambda: [print('started', flush=True), time.sleep(60)])\n"
    done, _ = terminated(bare, source, DASKFLOW_GRACE_SECONDS="4")
    assert (done.code, done.reason) == (143, "Terminated"), done


def test_handler_that_the_script_asks_for_is_its_own(bare):
    source = """
        import signal
        def mine(*_): pass
        before = signal.signal(signal.SIGTERM, mine)
        assert signal.getsignal(signal.SIGTERM) is mine
        assert signal.signal(signal.SIGTERM, before) is mine
    """
    done = bare.run(source)
    assert done.code == 0, done


@pytest.mark.parametrize("version", ["2.7", "3.6"])
def test_python_that_is_too_old_is_reported(version, tmp_path):
    done = Runner(python_of(version), tmp_path).run("print('ran')\n")
    assert (done.code, done.reason, done.out) == (1, "ScriptError", ""), done
    assert "this image has Python %s; the runner needs 3.7 or later" % version in done.message


@pytest.mark.parametrize("name", ["daskflow_runner", "run", "hooks", "ending", "bootstrap"])
def test_modules_of_the_script_may_have_the_runner_s_names(bare, tmp_path, name):
    (tmp_path / (name + ".py")).write_text("value = 7\n")
    done = bare.run("import %s\nprint(%s.value)\n" % (name, name))
    assert (done.code, done.out) == (0, "7\n"), done


def test_nothing_of_the_runner_can_be_imported_by_accident(bare):
    source = """
        import sys
        for name in ["daskflow_runner", "bootstrap", "verdict"]:
            try:
                __import__(name)
            except ImportError:
                continue
            raise SystemExit(name)
        assert not any(path.rstrip("/").endswith("runner") for path in sys.path), sys.path
    """
    done = bare.run(source)
    assert done.code == 0, done


def test_script_in_a_folder_or_an_archive(bare, tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__main__.py").write_text("import beside\nprint(beside.value, __name__)\n")
    (tmp_path / "app" / "beside.py").write_text("value = 7\n")
    done = bare.run(tmp_path / "app")
    assert (done.code, done.out) == (0, "7 __main__\n"), done


def test_parameters_that_a_script_reads_itself_fit_a_plain_script(bare):
    done = bare.run("import json, os\nprint(json.loads(os.environ['DASKFLOW_PARAMETERS'])['n'])", DASKFLOW_PARAMETERS='{"n": 2}')
    assert (done.code, done.out) == (0, "2\n"), done
