"""Prefect 3: a flow is judged by the state that it ends in, also where its call returns in peace."""

import textwrap

import pytest
from conftest import PREFECT_3
from harness import Runner

pytestmark = pytest.mark.engines(*PREFECT_3)

HEAD = """
import asyncio
from prefect import flow, task
from prefect.states import Cancelled, Completed, Failed
from prefect_dask import DaskTaskRunner

on_dask = flow(task_runner=DaskTaskRunner())

@task
def positive(x):
    if x < 0:
        raise ValueError("%d is negative" % x)
    return x

"""


@pytest.fixture
def runner(python, cluster, tmp_path, prefect_api):
    return Runner(python, tmp_path, cluster.address, {"PREFECT_API_URL": prefect_api})


def script(source):
    return HEAD + textwrap.dedent(source)


FAILED = {
    "mapped": "@on_dask\ndef main():\n    return positive.map([1, -2, 3])\nmain()",
    "mapped, with its state": "@on_dask\ndef main():\n    return positive.map([1, -2, 3])\nmain(return_state=True)",
    "several": "@on_dask\ndef main():\n    return positive.submit(1), positive.submit(-2), positive.submit(3)\nmain()",
    "states": "@on_dask\ndef main():\n    return [positive.submit(x, return_state=True) for x in (1, -2, 3)]\nmain()",
    "asynchronous": "@on_dask\nasync def main():\n    return positive.map([1, -2, 3])\nasyncio.run(main())",
    "at every try": """
        @flow(task_runner=DaskTaskRunner(), retries=1)
        def main():
            return positive.map([1, -2, 3])
        main()
    """,
    "side by side with a good one": """
        @on_dask
        async def main(x):
            return positive.map([1, x, 3])
        async def both():
            await asyncio.gather(main(-2), main(2))
        asyncio.run(both())
    """,
    "a generator": "@on_dask\ndef main():\n    yield 1\n    return positive.map([1, -2, 3])\nprint(list(main()))",
}


@pytest.mark.parametrize("source", FAILED.values(), ids=FAILED)
def test_flow_that_returns_tasks_of_which_one_failed(runner, source):
    done = runner.run(script(source) + "\nprint('the script goes on')\n")
    assert (done.code, done.reason) == (3, "FlowFailed"), done
    assert done.message.startswith("flow 'main' failed: 1/3 states failed: ValueError: -2 is negative"), done
    assert "failed too" not in done.message
    assert "the script goes on" in done.out
    assert done.tasks["failed"] >= 1


STATES = {
    "failed": ("Failed(message='it is so')", "it is so"),
    "cancelled": ("Cancelled(message='not today')", "not today"),
    "one of them failed": ("[Failed(message='it is so'), Completed()]", "1/2 states failed"),
}


@pytest.mark.parametrize("state, words", STATES.values(), ids=STATES)
def test_flow_that_returns_a_state_of_its_own(runner, state, words):
    done = runner.run(script("@on_dask\ndef main():\n    positive.submit(1).wait()\n    return %s\nmain()" % state))
    assert (done.code, done.reason) == (3, "FlowFailed"), done
    assert words in done.message


GOOD = {
    "completed, it says": """
        @on_dask
        def main():
            positive.map([1, -2]).wait()
            return Completed(message="one is allowed to fail")
    """,
    "a subflow failed": """
        @on_dask
        def inner():
            return positive.map([1, -2])
        @on_dask
        def main():
            inner()
            return 1
    """,
    "a subflow failed, with its state": """
        @on_dask
        def inner():
            return positive.submit(-2).result()
        @on_dask
        def main():
            return inner(return_state=True).is_failed()
    """,
    "good at the second try": """
        tries = []
        @flow(task_runner=DaskTaskRunner(), retries=1)
        def main():
            tries.append(1)
            return positive.submit(len(tries) - 2).result() + positive.submit(0 if tries[1:] else -1).result()
    """,
}


@pytest.mark.parametrize("source", GOOD.values(), ids=GOOD)
def test_flow_that_tolerates_what_failed(runner, source):
    done = runner.run(script(source) + "\nmain()\n")
    assert (done.code, done.reason) == (0, "Succeeded"), done


def test_flow_whose_values_the_script_does_not_take_to_the_end(runner):
    source = "@on_dask\ndef main():\n    for x in range(9):\n        yield positive.submit(x).result()\n"
    done = runner.run(script(source + "for value in main():\n    break\n"))
    assert (done.code, done.reason) == (0, "Succeeded"), done


COUNTS = {
    "none": ("    for x in range(6):\n        slow.submit(x)", "0 of 6 tasks succeeded", 6),
    "some": ("    positive.submit(1).wait()\n    slow.submit(2)", "1 of 2 tasks succeeded", 1),
    "not in time": ("    slow.submit(1).wait(timeout=0.1)", "0 of 1 tasks succeeded", 1),
    "all": ("    positive.map([1, 2]).wait()", "2 of 2 tasks succeeded", 0),
    "one failed": ("    positive.map([1, -2]).wait()", "1 of 2 tasks succeeded", 0),
    "the last of a chain": (
        "    first = [positive.submit(1)]\n    second = positive.submit(2, wait_for=[positive.submit(3)])\n"
        "    total.submit(first, {'x': second}).result()",
        "4 of 4 tasks succeeded",
        0,
    ),
    "after one that failed": (
        "    positive.submit(1, wait_for=[positive.submit(-2)]).wait()",
        "0 of 2 tasks succeeded",
        0,
    ),
    "in the order in which they end": (
        "    for done in as_completed([positive.submit(x) for x in (1, -2, 3)]):\n        print(done)",
        "2 of 3 tasks succeeded",
        0,
    ),
    "by their state": (
        "    one = positive.submit(1)\n    wait([one])\n    assert one.state.is_final()",
        "1 of 1 tasks succeeded",
        0,
    ),
    "returned": ("    return positive.map([1, 2])", "2 of 2 tasks succeeded", 0),
    "after one that failed itself": (
        "    positive.submit(-2, wait_for=[positive.submit(1)]).wait()",
        "1 of 2 tasks succeeded",
        0,
    ),
    "at the second try": (
        "    tries.append(1)\n    first = [positive.submit(x if tries[1:] else -1) for x in (1, 2)]\n    [one.result() for one in first]",
        "2 of 3 tasks succeeded",
        0,
    ),
}
TASKS = """
import time
from prefect.futures import as_completed, wait

@task
def slow(x):
    time.sleep(3)

@task
def total(numbers, named):
    return sum(numbers)

tries = []

@flow(task_runner=DaskTaskRunner(), retries=1)
def main():
"""


@pytest.mark.parametrize("body, words, unwaited", COUNTS.values(), ids=COUNTS)
def test_only_tasks_that_were_seen_to_end_have_succeeded(runner, body, words, unwaited):
    done = runner.run(HEAD + TASKS + body + "\n    return 1\n\nmain()\n")
    assert (done.code, done.reason) == (0, "Succeeded"), done
    assert done.message.startswith(words), done
    assert ("without waiting for %d," % unwaited in done.message) == bool(unwaited), done
    assert ("without waiting" in done.message) == bool(unwaited), done


PARAMETERS = {
    "of a subflow": ("inner()", "flow 'inner' declares it, and the script itself calls only 'main'"),
    "of a flow that is not called": ("1", "flow 'inner' declares it, and the script itself calls only 'main'"),
    "of no flow, and a word of its text": ("None  # n", "no flow of this script declares parameter 'n'; declared: other"),
}


@pytest.mark.parametrize("body, words", PARAMETERS.values(), ids=PARAMETERS)
def test_parameter_that_reaches_no_flow_fails_the_run(runner, body, words):
    inner = "" if "no flow" in words else "@on_dask\ndef inner(n: int = 1):\n    return positive.submit(n).result()\n"
    main = "@on_dask\ndef main(other=1):\n    positive.submit(1).wait()\n    return %s\nmain()\n" % body
    done = runner.run(HEAD + inner + main, DASKFLOW_PARAMETERS='{"n": 3}')
    assert (done.code, done.reason) == (1, "ParameterError"), done
    assert words in done.message


def test_parameter_of_a_flow_that_is_called_later_reaches_it(runner):
    flows = "@on_dask\ndef main():\n    positive.submit(1).wait()\n@on_dask\ndef later(n: int = 1):\n    print('n is', n)\n"
    done = runner.run(HEAD + flows + "main()\nlater()\n", DASKFLOW_PARAMETERS='{"n": 3}')
    assert (done.code, done.reason) == (0, "Succeeded"), done
    assert "n is 3" in done.out
