"""What a script leaves open is closed as under `python SCRIPT`: by the end of the run it is written."""

import gzip
import zipfile

import pytest

OPEN = {
    "file": "f = open('out', 'w')\nf.write('data')\n",
    "file of bytes": "f = open('out', 'wb')\nf.write(b'data')\n",
    "print to a file": "import sys\nf = open('out', 'w')\nprint('data', file=f, end='')\n",
    "csv": "import csv\nw = csv.writer(open('out', 'w'), lineterminator='')\nw.writerow(['data'])\n",
    "in a cycle": "class A: pass\na = A()\na.me, a.f = a, open('out', 'w')\na.f.write('data')\n",
    "in a closure": "def make(f):\n    return lambda t: f.write(t)\nw = make(open('out', 'w'))\nw('data')\n",
    "in a class": "class A:\n    f = open('out', 'w')\nA.f.write('data')\n",
    "in a module beside": "import beside\nbeside.f.write('data')\n",
    "before sys.exit": "import sys\nf = open('out', 'w')\nf.write('data')\nsys.exit(0)\n",
    "in a function that fails": "def main():\n    f = open('out', 'w')\n    f.write('data')\n    1 / 0\nmain()\n",
    "destructor that uses the module": (
        "import os\nNAME = 'out'\ndef write(t):\n    open(NAME, 'w').write(t)\n"
        "class A:\n    def __del__(self): write('data')\na = A()\n"
    ),
}


@pytest.mark.parametrize("source", OPEN.values(), ids=OPEN)
def test_what_was_written_is_there(bare, tmp_path, source):
    (tmp_path / "beside.py").write_text("f = open('out', 'w')\n")
    done = bare.run(source)
    assert done.reason == ("ScriptError" if "1 / 0" in source else "Succeeded"), done
    assert (tmp_path / "out").read_text() == "data", done


def test_compressed_files_are_whole(every_python, tmp_path):
    source = """
        import gzip, io, zipfile
        first = gzip.open("first.gz", "wt")
        first.write("data")
        second = lambda file=gzip.open("second.gz", "wb"): file.write(b"data")
        second()
        archive = zipfile.ZipFile("all.zip", "w")
        archive.writestr("name", "data")
    """
    done = every_python.run(source)
    assert (done.code, done.reason) == (0, "Succeeded"), done
    assert [gzip.open(tmp_path / name).read() for name in ("first.gz", "second.gz")] == [b"data"] * 2
    assert zipfile.ZipFile(tmp_path / "all.zip").read("name") == b"data"


def test_destructor_prints_before_the_verdict(bare):
    done = bare.run("class A:\n    def __del__(self): print('deleted')\na = A()\n")
    assert (done.code, done.out) == (0, "deleted\n"), done


def test_thread_that_goes_on_finds_its_functions(bare):
    source = """
        import threading
        def beat(): pass
        def work():
            while True:
                beat()
        threading.Thread(target=work, daemon=True).start()
    """
    done = bare.run(source)
    assert (done.code, done.reason) == (0, "Succeeded"), done
    assert "Traceback" not in done.err, done


@pytest.mark.parametrize("code", ["3", "0", "'text'"])
def test_exit_function_that_exits_changes_nothing(every_python, code):
    done = every_python.run("import atexit, sys\natexit.register(print, 'first')\natexit.register(sys.exit, %s)\n" % code)
    assert (done.code, done.reason, done.out) == (0, "Succeeded", "first\n"), done
