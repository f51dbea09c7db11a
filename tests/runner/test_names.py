"""What lies beside a script, and how the script itself comes: names that meet those of libraries, archives, notebooks."""

import json
import zipfile

import pytest
from conftest import PLAIN_DASK


@pytest.mark.parametrize("name", ["random", "calendar", "email", "http", "selectors", "tempfile", "queue", "schedule"])
@pytest.mark.parametrize("form", ["%s.py", "%s/__init__.py"], ids=["file", "package"])
def test_a_module_of_the_script_comes_first(bare, tmp_path, name, form):
    """As under Python, although the runner itself has imported the library's long before."""
    file = tmp_path / (form % name)
    file.parent.mkdir(exist_ok=True)
    file.write_text("class Scheduler:\n    def run_pending(self):\n        return 7\n")
    done = bare.run("import %s\nprint(%s.Scheduler().run_pending())\n" % (name, name))
    assert (done.code, done.out) == (0, "7\n"), done


@pytest.mark.parametrize("name", ["sys", "time", "os"])
def test_what_python_itself_has_loaded_stays(bare, tmp_path, name):
    (tmp_path / (name + ".py")).write_text("raise ValueError('of the script')\n")
    done = bare.run("import %s\n" % name)
    assert (done.code, done.reason) == (0, "Succeeded"), done


@pytest.mark.engines(*PLAIN_DASK)
@pytest.mark.parametrize("name", ["dask", "distributed", "numbers", "cloudpickle"])
def test_a_folder_of_data_is_no_module(runner, tmp_path, name):
    """A folder without __init__.py gives way to a package of its name."""
    (tmp_path / name).mkdir()
    (tmp_path / name / "settings.yaml").write_text("a: 1\n")
    source = """
        import numbers, os
        import dask, distributed, cloudpickle

        @dask.delayed
        def where(n):
            return os.getpid()

        assert os.getpid() not in dask.compute(*[where(n) for n in range(3)])
    """
    done = runner.run(source)
    assert (done.code, done.reason) == (0, "Succeeded"), done


@pytest.mark.engines(*PLAIN_DASK)
def test_what_is_imported_before_the_script_is_watched_too(runner, tmp_path):
    """By a sitecustomize, as tools that trace and measure bring one, or for an address of a gateway."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("import dask.threaded, dask.multiprocessing, dask.bag, distributed\n")
    source = """
        import os
        from dask import bag, delayed, compute
        from distributed import Client
        assert os.getpid() not in bag.from_sequence(range(4)).map(lambda n: os.getpid()).compute()
        client = Client(n_workers=2)
        assert client.submit(os.getpid).result() != os.getpid()
        client.shutdown()
        print("on the workers")
        compute(delayed(int)(1), scheduler="threads")
    """
    done = runner.run(source, PYTHONPATH=tmp_path / "site")
    assert (done.code, done.reason) == (5, "RanOutsideCluster"), done
    assert done.out == "on the workers\n" and "n_workers left out" in done.message


@pytest.mark.parametrize("name", ["flow.ipynb", "flow.py"])
def test_notebook_is_named_as_one(bare, tmp_path, name):
    """Without outputs it is an expression that Python evaluates, and nothing has run."""
    cell = {"cell_type": "code", "source": ["1 / 0"], "outputs": [], "metadata": {}, "execution_count": 1}
    (tmp_path / name).write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    done = bare.run(tmp_path / name)
    assert (done.code, done.reason) == (1, "ScriptError"), done
    assert "is a notebook" in done.message and "nbconvert" in done.message


def test_magic_of_a_notebook_is_named_as_one(bare):
    done = bare.run("get_ipython().run_line_magic('matplotlib', 'inline')\n")
    assert (done.code, done.reason) == (1, "ScriptError"), done
    assert "a magic of a notebook" in done.message and "delete these lines" in done.message
    assert "(flow.py:1)" in done.message


ARGPARSE = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--n", type=int, required=True)
print("n is", parser.parse_args().n)
"""


@pytest.mark.parametrize("arguments, words", [([], "required: --n"), (["--n", "x"], "invalid int value: 'x'")])
def test_arguments_that_argparse_refuses_are_in_the_message(bare, arguments, words):
    done = bare.run(ARGPARSE, arguments)
    assert (done.code, done.reason) == (1, "ScriptError"), done
    assert "the script exited: 2; its arguments: " in done.message and words in done.message
    assert "args of the Flow" in done.message


def test_the_last_line_is_a_line_of_its_own(bare):
    done = bare.run("import sys\nsys.stderr.write('no end')\n")
    assert done.err.splitlines()[-2:] == ["no end", "daskflow: Succeeded (exit 0)"], done


def test_script_that_does_not_compile_is_shown_without_the_runner(bare):
    done = bare.run("def f(:\n    pass\n")
    assert (done.code, done.reason) == (1, "ScriptError"), done
    assert done.message.startswith("SyntaxError: ") and done.message.endswith(" (flow.py:1)"), done
    assert done.message.count("flow.py") == 1
    assert "daskflow_runner" not in done.err and 'flow.py", line 1' in done.err


def test_relative_path_of_a_script_that_goes_elsewhere(bare, tmp_path):
    source = "import inspect, os\nos.chdir('/')\ndef f(): pass\nprint(inspect.getsource(f), os.path.isabs(__file__))\n1 / 0\n"
    (tmp_path / "flow.py").write_text(source)
    bare.write = lambda _source: "flow.py"
    done = bare.run(source)
    assert done.out.split("\n")[0] == "def f(): pass" and "True" in done.out, done
    assert "(flow.py:5)" in done.message and "    1 / 0" in done.err


TAIL = {
    "a thread that needs the main module": (
        "import pickle, threading, time\nclass Thing: pass\ndef late():\n    time.sleep(0.5)\n"
        "    pickle.loads(pickle.dumps(Thing()))\n    print('finished')\nthreading.Thread(target=late).start()\n"
    ),
    "sys.exit": "import sys\nprint('finished')\nsys.exit(0)\n",
    "its own modules": "import beside\nprint(beside.value)\n",
}


@pytest.mark.parametrize("source", TAIL.values(), ids=TAIL)
@pytest.mark.parametrize("form", ["flow.pyz", "flow.pex", "flow.pyc"])
def test_compiled_and_packed_scripts_are_as_others(bare, tmp_path, source, form):
    beside = "value = 'finished'\n"
    file = tmp_path / form
    if form.endswith(".pyc"):
        (tmp_path / "text.py").write_text("import py_compile\npy_compile.compile('source.py', 'flow.pyc')\n")
        (tmp_path / "source.py").write_text(source)
        (tmp_path / "beside.py").write_text(beside)
        assert bare.run(tmp_path / "text.py").code == 0  # by the Python that is to read it
    else:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("__main__.py", source)
            archive.writestr("beside.py", beside)
    done = bare.run(file)
    assert (done.code, done.reason, done.out) == (0, "Succeeded", "finished\n"), done
    assert "Traceback" not in done.err


@pytest.mark.engines(*PLAIN_DASK)
def test_modules_in_an_archive_reach_the_workers(runner, tmp_path):
    with zipfile.ZipFile(tmp_path / "flow.pyz", "w") as archive:
        archive.writestr("pack/__init__.py", "")
        archive.writestr("pack/deep.py", "from .base import two\n\ndef square(x):\n    return x ** two\n")
        archive.writestr("pack/base.py", "two = 2\n")
        archive.writestr(
            "__main__.py",
            "from distributed import Client\nfrom pack.deep import square\nassert Client().submit(square, 3).result() == 9\n",
        )
    done = runner.run(tmp_path / "flow.pyz")
    assert (done.code, done.reason) == (0, "Succeeded"), done
