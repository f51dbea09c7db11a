"""What holds for every script, with no library at all: start, exit codes, message, signals. On each Python there is."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from harness import BOOTSTRAP, SOON, wait_until


@pytest.fixture(scope="module")
def verdict():
    sys.path.insert(0, str(BOOTSTRAP.parent))
    try:
        return importlib.import_module("daskflow_runner.verdict")
    finally:
        sys.path.pop(0)


def test_script_sees_what_python_would_show_it(bare, tmp_path):
    (tmp_path / "neighbour.py").write_text("value = 7\n")
    source = """
        import sys
        import neighbour
        assert __name__ == "__main__" and sys.modules["__main__"].__dict__ is globals()
        assert __file__ == sys.argv[0] and sys.argv[1:] == ["--flag", "x"]
        print(sys.path[0], neighbour.value)
    """
    done = bare.run(source, ["--flag", "x"])
    assert (done.code, done.reason) == (0, "Succeeded"), done
    assert done.out.split() == [os.path.realpath(tmp_path), "7"]


def test_script_behind_a_link_finds_its_neighbours(bare, tmp_path):
    """A mounted ConfigMap is a directory of links into another."""
    real = tmp_path / "..2026"
    real.mkdir()
    (real / "neighbour.py").write_text("value = 8\n")
    (real / "flow.py").write_text("import neighbour\nprint(neighbour.value)\n")
    (tmp_path / "flow.py").symlink_to("..2026/flow.py")
    done = bare.run(tmp_path / "flow.py")
    assert (done.code, done.out) == (0, "8\n"), done


@pytest.mark.parametrize(
    "source, code, reason, words",
    [
        ("x = 1\nraise KeyError('gone')\n", 1, "ScriptError", "KeyError: 'gone' (flow.py:2)"),
        ("def broken(:\n", 1, "ScriptError", "(flow.py:1)"),
        ("import sys\nsys.exit(7)\n", 1, "ScriptError", "the script exited: 7"),
        ("import sys\nsys.exit('no data today')\n", 1, "ScriptError", "no data today"),
        ("import sys\nsys.exit(0)\n", 0, "Succeeded", ""),
        ("raise KeyboardInterrupt\n", 130, "Terminated", "SIGINT"),
    ],
    ids=["exception", "syntax", "exit code", "exit text", "exit 0", "interrupt"],
)
def test_how_a_script_ends(bare, source, code, reason, words):
    done = bare.run(source)
    assert (done.code, done.reason, done.report["exitCode"]) == (code, reason, code), done
    assert words in done.message
    assert done.err.count("daskflow:") == 2


def test_missing_script_is_named(bare, tmp_path):
    done = bare.run(tmp_path / "nothing.py")
    assert (done.code, done.reason) == (1, "ScriptError"), done
    assert "nothing.py" in done.message


@pytest.mark.parametrize("text", ["{x: 1}", "[1]", "7"])
def test_parameters_that_are_no_object_stop_the_run(bare, text):
    done = bare.run("print('ran')\n", DASKFLOW_PARAMETERS=text)
    assert (done.code, done.reason, done.out) == (1, "ParameterError", ""), done


def test_work_in_threads_is_finished_before_success_is_told(bare):
    source = """
        import atexit, threading, time
        from concurrent.futures import ThreadPoolExecutor
        def late(word):
            time.sleep(0.5)
            print(word + " ", end="")  # one write: two threads may both come before either ends its line
        threading.Thread(target=late, args=["thread"]).start()
        ThreadPoolExecutor(1).submit(late, "pool")
        atexit.register(print, "atexit")
    """
    done = bare.run(source)
    assert done.code == 0, done
    assert sorted(done.out.split()) == ["atexit", "pool", "thread"]


@pytest.mark.parametrize("text", ["x", "é", "🌲", '"\\\n', "\ud800"], ids=range(5))
def test_long_message_stays_json_and_within_the_limit(verdict, text):
    result = {"reason": "ScriptError", "message": text * 9000, "exitCode": 1, "engine": "", "flow": text * 9000}
    data = verdict.encode_result(result)
    assert len(data) <= 4096
    assert len(data) > 3000
    assert json.loads(data)["message"].endswith("…")


SLEEPING = "import time\nprint('started', flush=True)\ntime.sleep(60)\n"
DEAF = """
import hashlib
print('started', flush=True)
hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)
"""
CLEANING = """
import time
print('started', flush=True)
try:
    time.sleep(60)
finally:
    print('cleaned')
"""


@pytest.mark.parametrize("source", [SLEEPING, DEAF, CLEANING], ids=["sleeping", "deaf in C code", "cleaning up"])
def test_sigterm_ends_it_soon(bare, source):
    process = bare.start(source)
    wait_until(lambda: bare.output_contains("started\n"), "the script runs")
    process.terminate()
    sent = time.monotonic()
    done = bare.finish(process)
    assert time.monotonic() - sent < SOON
    assert (done.code, done.reason) == (143, "Terminated"), done
    assert ("cleaned" in done.out) == ("cleaned" in source)


def test_sigterm_ends_it_as_pid_1(bare):
    if subprocess.run(["unshare", "-pf", "true"], capture_output=True).returncode:
        pytest.skip("unshare -pf is not allowed here")
    process = bare.start("import os\nassert os.getpid() == 1\n" + SLEEPING, prefix=["unshare", "-pf", "--kill-child"])
    wait_until(lambda: bare.output_contains("started\n"), "the script runs")
    children = open("/proc/%d/task/%d/children" % (process.pid, process.pid)).read().split()
    os.kill(int(children[0]), signal.SIGTERM)
    sent = time.monotonic()
    done = bare.finish(process)
    assert time.monotonic() - sent < SOON
    assert (done.code, done.reason) == (143, "Terminated"), done


def test_a_child_that_is_stopped_does_not_stop_its_parent(bare):
    source = """
        import multiprocessing, time
        if __name__ == "__main__":
            context = multiprocessing.get_context("fork")
            child = context.Process(target=time.sleep, args=[60])
            child.start()
            time.sleep(0.3)
            child.terminate()
            child.join()
            print("child", child.exitcode)
            time.sleep(2.5)
            print("still here")
    """
    done = bare.run(source)
    assert done.code == 0, done
    assert done.out.split("\n")[:2] == ["child -15", "still here"]
