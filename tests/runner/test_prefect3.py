"""Prefect 3: the runner gives DaskTaskRunner() its cluster, and the flow its parameters."""

import json
import textwrap
import time

import pytest
from conftest import PREFECT_3
from harness import NO_ADDRESS, SAMPLES, SOON, Runner, wait_until

pytestmark = pytest.mark.engines(*PREFECT_3)

HEAD = """
    import os
    from prefect import flow, task
    from prefect_dask import DaskTaskRunner

    @task
    def where(x):
        if x < 0:
            raise ValueError("%d is negative" % x)
        return os.getpid()
"""


def script(tail):
    return textwrap.dedent(HEAD) + "\n" + textwrap.dedent(tail)


ON_DASK = """
    @flow(task_runner=DaskTaskRunner())
    def spread(count: int = 3, path: str = "/dev/null", **more):
        pids = where.map(range(count)).result()
        assert os.getpid() not in pids
        open(path, "w").write("%s %s" % (len(pids), sorted(more.items())))
"""

FAILING = """
    @flow(task_runner=DaskTaskRunner())
    def negative():
        return where.submit(-1).result()
"""

SILENT_LOCAL = {
    "default task runner": "@flow\ndef local(): return where.submit(1).result()\nlocal()",
    "task runner of threads": """
        from prefect.task_runners import ThreadPoolTaskRunner
        @flow(task_runner=ThreadPoolTaskRunner())
        def local():
            return where.map([1, 2]).result()
        local()
    """,
    "async flow": """
        import asyncio
        @flow
        async def local():
            return where.submit(1).result()
        asyncio.run(local())
    """,
    "a cluster of its own": "from distributed import LocalCluster\nLocalCluster()",
}


@pytest.fixture
def runner(python, cluster, tmp_path, prefect_api):
    return Runner(python, tmp_path, cluster.address, {"PREFECT_API_URL": prefect_api})


def test_sample_runs_on_the_workers_without_any_api(python, cluster, tmp_path):
    done = Runner(python, tmp_path, cluster.address).run(SAMPLES / "prefect3" / "flow.py", DASKFLOW_ENGINE="Prefect")
    assert (done.code, done.reason) == (0, "Succeeded"), done
    assert done.message == "11 of 11 tasks succeeded"
    assert "the sum of the first 10 squares is 285" in done.out + done.err
    assert cluster.count("temporary server") == 0, "a worker started an API server of its own"
    assert cluster.count("database is locked") == 0


@pytest.mark.parametrize(
    "runner_call", ["DaskTaskRunner()", "DaskTaskRunner", "DaskTaskRunner(address='tcp://127.0.0.1:2')"]
)
def test_dask_task_runner_goes_to_the_runs_cluster(runner, runner_call):
    done = runner.run(script(ON_DASK.replace("DaskTaskRunner()", runner_call) + "    spread()"))
    assert done.code == 0, done
    assert done.tasks == {"total": 3, "failed": 0}
    assert ("the script names tcp://127.0.0.1:2" in done.message) == ("address" in runner_call)


def test_async_flow_runs_on_the_workers(runner):
    done = runner.run(
        script("""
            import asyncio

            @flow(task_runner=DaskTaskRunner())
            async def spread():
                assert os.getpid() != where.submit(1).result()

            asyncio.run(spread())
        """)
    )
    assert done.code == 0, done


@pytest.mark.parametrize("call", ["negative()", "negative(return_state=True)"])
def test_failed_flow_fails_the_run_with_or_without_return_state(runner, call):
    done = runner.run(script(FAILING + "\n    %s\n" % call))
    assert (done.code, done.reason) == (3, "FlowFailed"), done
    assert "flow 'negative' failed: ValueError: -1 is negative" in done.message
    assert done.tasks == {"total": 1, "failed": 1}


def test_failed_flow_whose_error_the_script_swallows_fails_the_run(runner):
    done = runner.run(script(FAILING + "\n    try:\n        negative()\n    except ValueError:\n        pass\n"))
    assert (done.code, done.reason) == (3, "FlowFailed"), done


@pytest.mark.parametrize("tail", SILENT_LOCAL.values(), ids=SILENT_LOCAL)
def test_work_that_would_run_in_the_runner_is_refused(lone_runner, tail):
    done = lone_runner.run(script(tail))
    assert (done.code, done.reason) == (5, "RanOutsideCluster"), done
    assert "(flow.py:" in done.message


def test_no_address_is_refused(lone_runner):
    done = lone_runner.run(script(FAILING + "\n    negative()\n"), **NO_ADDRESS)
    assert (done.code, done.reason) == (5, "RanOutsideCluster"), done


def test_tasks_that_are_only_called_ran_in_the_runner(runner):
    done = runner.run(script("@flow(task_runner=DaskTaskRunner())\ndef direct():\n    where(1)\ndirect()\n"))
    assert (done.code, done.reason) == (5, "RanOutsideCluster"), done
    assert "task.submit()" in done.message


def test_subflow_with_a_local_task_runner_is_refused(runner):
    done = runner.run(
        script("""
            @flow
            def inner():
                where.submit(1).result()

            @flow(task_runner=DaskTaskRunner())
            def outer():
                where.submit(1).result()
                inner()

            outer()
        """)
    )
    assert (done.code, done.reason) == (5, "RanOutsideCluster"), done
    assert "flow 'inner'" in done.message


@pytest.mark.parametrize(
    "call, given, seen",
    [
        ("spread()", {"count": 2}, "2 []"),
        ("spread(2)", {"count": 5}, "2 []"),
        ("spread(extra=1)", {"z": 4}, "3 [('extra', 1), ('z', 4)]"),
    ],
    ids=["given", "explicit wins", "any name"],
)
def test_parameters_reach_the_flow(runner, tmp_path, call, given, seen):
    parameters = json.dumps(dict(given, path=str(tmp_path / "seen")))
    done = runner.run(script(ON_DASK + "\n    %s\n" % call), DASKFLOW_PARAMETERS=parameters)
    assert done.code == 0, done
    assert (tmp_path / "seen").read_text() == seen


@pytest.mark.parametrize(
    "signature, given, words",
    [
        ("needed", {}, "flow 'strict' needs parameter 'needed'"),
        ("needed=1", {"other": 2}, "declares parameter 'other'; declared: needed"),
    ],
    ids=["missing", "unknown"],
)
def test_parameters_that_do_not_fit(lone_runner, signature, given, words):
    source = script("@flow(task_runner=DaskTaskRunner())\ndef strict(%s):\n    pass\nstrict()\n" % signature)
    done = lone_runner.run(source, DASKFLOW_PARAMETERS=json.dumps(given))
    assert (done.code, done.reason) == (1, "ParameterError"), done
    assert words in done.message


def test_parameter_of_a_wrong_type(runner):
    done = runner.run(script(ON_DASK + "\n    spread()\n"), DASKFLOW_PARAMETERS='{"count": "many"}')
    assert (done.code, done.reason) == (1, "ParameterError"), done


def test_flow_that_is_never_called(lone_runner):
    done = lone_runner.run(script(ON_DASK))
    assert (done.code, done.reason) == (4, "NoFlowRan"), done
    assert "'spread'" in done.message


@pytest.mark.parametrize("api", ["of its own", "given"])
def test_unreachable_scheduler_fails_the_flow_and_names_the_address(lone_runner, prefect_api, api):
    env = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "1s"}
    if api == "given":
        env["PREFECT_API_URL"] = prefect_api
    done = lone_runner.run(script(FAILING + "\n    negative()\n"), **env)
    assert (done.code, done.reason) == (3, "SchedulerUnreachable"), done
    assert "tcp://127.0.0.1:1 does not answer" in done.message


def test_sigterm_stops_soon(runner, tmp_path):
    marker = tmp_path / "started"
    source = script("""
        import time

        @task
        def long(path):
            open(path, "w").close()
            time.sleep(3)

        @flow(task_runner=DaskTaskRunner())
        def slow(path: str):
            long.submit(path).result()

        slow()
    """)
    process = runner.start(source, DASKFLOW_PARAMETERS=json.dumps({"path": str(marker)}))
    wait_until(marker.exists, "the task runs", (tmp_path / "err").read_text)
    process.terminate()
    sent = time.monotonic()
    done = runner.finish(process)
    assert time.monotonic() - sent < SOON
    assert (done.code, done.reason) == (143, "Terminated"), done


WAITS_FOR_A_SCHEDULE = """
from prefect import deploy, serve
from prefect.runner import Runner

spread.serve(name="nightly", cron="0 8 * * *")
serve(spread.to_deployment("nightly", cron="0 8 * * *"))
spread.deploy(name="nightly", work_pool_name="pool", image="x")
deploy(spread.to_deployment("nightly"), work_pool_name="pool")
spread.to_deployment("nightly").apply()
Runner("r").start()

async def main():
    await spread.adeploy(name="nightly", work_pool_name="pool", image="x")

import asyncio
asyncio.run(main())
print("all of it came back")
"""


@pytest.mark.parametrize("kind", ["Auto", "Dask"])
def test_what_only_waits_for_a_schedule_has_run_nothing(lone_runner, kind):
    done = lone_runner.run(script(ON_DASK) + WAITS_FOR_A_SCHEDULE, DASKFLOW_ENGINE=kind)
    assert (done.code, done.reason) == (4, "NoFlowRan"), done
    assert "all of it came back" in done.out
    assert "flow.serve() is left out" in done.message and "call spread()" in done.message


def test_deploy_beside_a_run_is_left_out(runner):
    done = runner.run(script(ON_DASK) + "\nspread.deploy(name='nightly', work_pool_name='p', image='x')\nspread()\n")
    assert (done.code, done.reason) == (0, "Succeeded"), done
    assert "flow.deploy() is left out" in done.message


def test_parent_without_a_task_runner_whose_subflow_has_one(runner):
    tail = """
        @flow
        def main():
            spread()

        main()
    """
    done = runner.run(script(ON_DASK) + "\n" + textwrap.dedent(tail))
    assert (done.code, done.reason) == (0, "Succeeded"), done
    assert done.tasks == {"total": 3, "failed": 0}


def test_flow_that_works_with_a_client_of_dask(runner):
    done = runner.run(
        script("""
            from distributed import Client

            @flow
            def main():
                with Client() as client:
                    assert client.submit(os.getpid).result() != os.getpid()

            main()
        """)
    )
    assert (done.code, done.reason) == (0, "Succeeded"), done


def test_flow_that_does_everything_itself_ran_in_the_runner(runner):
    done = runner.run(script("@flow\ndef main():\n    print(sum(range(10)))\nmain()\n"))
    assert (done.code, done.reason) == (5, "RanOutsideCluster"), done
    assert "flow 'main' ran in the runner" in done.message


def test_collection_that_a_flow_computes_goes_to_the_cluster(runner):
    done = runner.run(
        script("""
            import dask

            @flow
            def main():
                assert dask.delayed(os.getpid)().compute() != os.getpid()

            main()
        """)
    )
    assert (done.code, done.reason) == (0, "Succeeded"), done


def test_deployment_of_another_flow_needs_a_server(python, cluster, tmp_path):
    source = "from prefect.deployments import run_deployment\nrun_deployment('child/nightly')\n"
    done = Runner(python, tmp_path, cluster.address).run(source)
    assert (done.code, done.reason) == (1, "ScriptError"), done
    assert "create a FlowRun" in done.message


@pytest.mark.parametrize("tail", ["where.submit(1).result()", "where.delay(1)", "where(1)"])
def test_task_outside_of_a_flow_does_not_run_on_the_cluster(lone_runner, tail):
    done = lone_runner.run(script(tail))
    assert (done.code, done.reason) == (5, "RanOutsideCluster"), done


def test_parameters_that_the_script_reads_itself_are_no_failure(runner):
    tail = "import json\nspread(count=json.loads(os.environ['DASKFLOW_PARAMETERS'])['batches'])\n"
    done = runner.run(script(ON_DASK) + "\n" + tail, DASKFLOW_PARAMETERS='{"batches": 2}')
    assert (done.code, done.reason) == (0, "Succeeded"), done


def test_module_beside_a_prefect_flow_reaches_the_workers(runner, tmp_path):
    (tmp_path / "helpers.py").write_text("import os\n\ndef pid():\n    return os.getpid()\n")
    source = """
        import os
        from prefect import flow, task
        from prefect_dask import DaskTaskRunner
        from helpers import pid
        import helpers

        @task
        def both():
            return pid(), helpers.pid()

        @flow(task_runner=DaskTaskRunner())
        def main():
            assert os.getpid() not in both.submit().result()
            assert task(helpers.pid).submit().result() != os.getpid()

        main()
    """
    done = runner.run(source)
    assert (done.code, done.reason) == (0, "Succeeded"), done


METHODS = {
    "method": "class Etl:\n    %s\n    def go(self, n=1):\n        check(n)\nEtl().go()",
    "class method": "class Etl:\n    @classmethod\n    %s\n    def go(cls, n=1):\n        check(n)\nEtl.go()",
    "static method": "class Etl:\n    @staticmethod\n    %s\n    def go(n=1):\n        check(n)\nEtl.go()",
}
FLOWS_OF_ALL_FORMS = """
import os
from prefect import flow, task
from prefect_dask import DaskTaskRunner

ME = os.getpid()

@task
def where():
    return os.getpid()

@task
def bad():
    return 1 / 0

def check(n):
    assert where.submit().result() != ME
    print("n is", n)

"""


@pytest.mark.parametrize("source", METHODS.values(), ids=METHODS)
def test_flow_that_is_a_method(runner, prefect_api, source):
    source = FLOWS_OF_ALL_FORMS + source % "@flow(task_runner=DaskTaskRunner())"
    done = runner.run(source, PREFECT_API_URL=prefect_api, DASKFLOW_PARAMETERS='{"n": 5}')
    assert (done.code, done.reason) == (0, "Succeeded"), done
    assert done.out.splitlines()[-1] == "n is 5"


GENERATORS = {
    "generator": ("def go():", "list(go())"),
    "asynchronous generator": ("async def go():", "asyncio.run(collect())"),
}


@pytest.mark.parametrize("form", GENERATORS.values(), ids=GENERATORS)
@pytest.mark.parametrize("fails", [False, True], ids=["ends well", "fails, and the script goes on"])
def test_flow_that_yields(runner, form, fails):
    """Its work is done while the script takes what it yields; the run's own API is there all the time."""
    head, call = form
    source = FLOWS_OF_ALL_FORMS + (
        "import asyncio\nasync def collect():\n    return [x async for x in go()]\n"
        "@flow(task_runner=DaskTaskRunner())\n%s\n    yield where.submit().result() != ME\n    yield %s.submit().result()\n"
        "try:\n    print('took', %s[0])\nexcept ZeroDivisionError:\n    print('swallowed')\n"
    ) % (head, "bad" if fails else "where", call)
    done = runner.run(source)
    assert (done.code, done.reason) == ((3, "FlowFailed") if fails else (0, "Succeeded")), done
    assert ("swallowed" if fails else "took True") in done.out
    assert "temporary server" not in done.err.lower()
