"""Modules beside the script reach the workers, which do not have them."""

import pytest
from conftest import PLAIN_DASK 
from harness import wait_until

pytestmark = pytest.mark.engines(*PLAIN_DASK)

FILES = {
    "squares.py": """
from numbers_beside import two
import other_beside

class Number:
    def __init__(self, n):
        self.n = n

def square(x):
    return x ** two

def chained(x):
    return other_beside.increment(square(x))

def count(number):
    return Number(number.n + 1)
""",
    "numbers_beside.py": "two = 2\n",
    "other_beside.py": "def increment(x):\n    return x + 1\n",
    "pack/__init__.py": "from .deep.inner import cube\n",
    "pack/deep/__init__.py": "",
    "pack/deep/inner.py": "from ..base import three\n\n\ndef cube(x):\n    return x ** three\n",
    "pack/base.py": "three = 3\n",
    "state.py": """
import enum
import functools
import threading

lock = threading.Lock()
again = threading.RLock()

class Colour(enum.Enum):
    RED = 1

@functools.lru_cache(maxsize=8)
def cached(x):
    return x + 1

def guarded(x):
    with lock, again:
        return cached(x), Colour.RED
""",
    "lazy.py": "def f(x):\n    import late_beside\n    return late_beside.value\n",
    "late_beside.py": "value = 1\n",
    "lib/below.py": "def twice(x):\n    return 2 * x\n",
}

WAYS = {
    "function by name": "from squares import square\nassert client.submit(square, 3).result() == 9",
    "function of a module": "import squares\nassert client.gather(client.map(squares.square, [1, 2])) == [1, 4]",
    "module that uses a module": "import squares\nassert client.submit(squares.chained, 3).result() == 10",
    "instances there and back": (
        "import squares\ndone = client.submit(squares.count, squares.Number(1)).result()\n"
        "assert type(done) is squares.Number and done.n == 2"
    ),
    "package with relative imports": "import pack\nassert client.submit(pack.cube, 2).result() == 8",
    "deep in a package": "from pack.deep.inner import cube\nassert client.submit(cube, 2).result() == 8",
    "function of the script": "import squares\nassert client.submit(lambda x: squares.square(x), 3).result() == 9",
    "many in one structure": (
        "import squares\n"
        "assert client.submit(lambda fs: [f(2) for f in fs], [squares.square, squares.chained]).result() == [4, 5]"
    ),
    "delayed": "import dask, squares\nassert dask.delayed(squares.square)(4).compute() == 16",
    "by a folder that the script adds": (
        "import sys\nsys.path.insert(0, __file__.rsplit('/', 1)[0] + '/lib')\nimport below\n"
        "assert client.submit(below.twice, 4).result() == 8"
    ),
    "run on every worker": "import squares\nassert set(client.run(squares.square, 3).values()) == {9}",
    "scattered": (
        "import squares\nfar = client.scatter(squares.Number(5))\n"
        "assert client.submit(lambda number: number.n, far).result() == 5"
    ),
    "locks, caches and enumerations": (
        "import state\nassert client.submit(state.guarded, 3).result(timeout=30) == (4, state.Colour.RED)\n"
        "assert client.submit(lambda x: state.guarded(x), 3).result(timeout=30) == (4, state.Colour.RED)"
    ),
    "executor": "import squares\nassert list(client.get_executor().map(squares.square, [3])) == [9]",
}


@pytest.fixture
def beside(tmp_path):
    folder = tmp_path / "flows"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def write(folder, source):
    script = folder / "flow.py"
    script.write_text("from distributed import Client\nclient = Client()\n%s\n" % source)
    return script


def test_module_beside_the_script_reaches_the_workers(runner, beside):
    """All ways in one script, as a process for each would cost a minute; each is tried, whatever became of the others."""
    one = """
try:
    exec(compile(%r, %r, "exec"))
except Exception as error:
    print(%r, "failed:", type(error).__name__, error, flush=True)
else:
    print("went well", flush=True)
"""
    done = runner.run(write(beside, "".join(one % (source, name, name) for name, source in WAYS.items())))
    assert done.out.splitlines() == ["went well"] * len(WAYS), done
    assert (done.code, done.reason) == (0, "Succeeded"), done


@pytest.mark.parametrize(
    "source, name",
    [
        ("import lazy\nprint(client.submit(lazy.f, 1).result())", "late_beside"),
        ("def f(x):\n    import late_beside\nclient.submit(f, 1).result()", "late_beside"),
    ],
    ids=["in a module", "in the script"],
)
def test_module_that_cannot_go_there_is_named_with_the_cure(runner, beside, source, name):
    done = runner.run(write(beside, source))
    assert (done.code, done.reason) == (1, "ScriptError"), done
    assert "No module named '%s'" % name in done.message
    assert "beside the script" in done.message and "PYTHONPATH" in done.message


def test_deepest_cause_is_in_the_message(runner):
    source = """
        def read():
            try:
                {}["password"]
            except KeyError as error:
                raise RuntimeError("no connection") from error

        try:
            read()
        except RuntimeError as error:
            raise ValueError("the report failed") from error
    """
    done = runner.run(source)
    assert (done.code, done.reason) == (1, "ScriptError"), done
    assert "ValueError: the report failed" in done.message
    assert "KeyError: 'password'" in done.message


def test_task_that_waits_for_a_resource_that_nobody_has_is_reported(runner, tmp_path):
    source = """
        from distributed import Client
        client = Client()
        stuck = client.submit(abs, -1, resources={"GPU": 1}, key="train-on-a-gpu")
        client.submit(abs, stuck, key="after").result()
    """
    process = runner.with_constant("resources.py", "LOOK_EVERY_S", 0.5).start(source)
    wait_until(lambda: "GPU" in (tmp_path / "err").read_text(), "it is reported", (tmp_path / "err").read_text)
    process.terminate()
    done = runner.finish(process)
    assert (done.code, done.reason) == (143, "Terminated"), done
    assert "train-on-a-gpu" in done.message and "GPU" in done.message
