"""Prefect 0.13 and 1.4: what a script of that era does under the runner, edited in nothing."""

import json
import textwrap
import time

import pytest
from conftest import PREFECT_1, PYTHONS
from harness import NO_ADDRESS, SAMPLES, SOON, Cluster, Runner, wait_until

pytestmark = pytest.mark.engines(*PREFECT_1)
EXAMPLE = SAMPLES / "example" / "flow.py"

TWO_TASKS = """
    from prefect import Flow, task

    @task
    def double(x):
        return 2 * x

    @task
    def show(x):
        print("shown", x)

    with Flow("small") as flow:
        show(double(21))
"""

FAILING = """
    from prefect import Flow, task

    @task
    def halve(x):
        if x % 2:
            raise ValueError("%d is odd" % x)
        return x // 2

    @task(name="sum")
    def total(xs):
        return sum(xs)

    with Flow("halves") as flow:
        total(halve.map([2, 4, 5, 6, 7]))
    state = flow.run()
    print("the script went on", state)
"""

WITH_PARAMETERS = """
    from prefect import Flow, Parameter, task

    @task
    def write(path, x, y):
        open(path, "w").write("%r %r" % (x, y))

    with Flow("parametrised") as flow:
        write(Parameter("path"), Parameter("x", default=1), Parameter("y", default=2))
"""

EVERY_WAY_TO_BUILD_IT = {
    "run at module level": "flow.run()",
    "built in main": """
        def main():
            with Flow("inner") as inner:
                show(double(1))
            inner.run()

        if __name__ == "__main__":
            main()
    """,
    "cron schedule": """
        from prefect.schedules import CronSchedule
        flow.schedule = CronSchedule("0 3 * * *")
        flow.run()
    """,
    "interval that starts in an hour": """
        import datetime
        from prefect.schedules import IntervalSchedule
        flow.schedule = IntervalSchedule(
            start_date=datetime.datetime.utcnow() + datetime.timedelta(hours=1), interval=datetime.timedelta(minutes=1)
        )
        flow.run(run_on_schedule=True)
    """,
    "executor on the flow": """
        from prefect.engine.executors import DaskExecutor
        flow.executor = DaskExecutor()
        flow.run()
    """,
    "executor with this address": """
        import os
        from prefect.engine.executors import DaskExecutor
        flow.run(executor=DaskExecutor(address=os.environ["DASK_SCHEDULER_ADDRESS"]))
    """,
    "executor with an address of long ago": """
        from prefect.engine.executors import DaskExecutor
        flow.run(executor=DaskExecutor(address="tcp://127.0.0.1:2", client_kwargs={"security": None}))
    """,
    "executor with a cluster class": """
        from prefect.engine.executors import DaskExecutor
        flow.run(executor=DaskExecutor(cluster_class="distributed.LocalCluster", cluster_kwargs={"n_workers": 1}))
    """,
}

SILENT_LOCAL = {
    "local executor in code": (
        "from prefect.engine.executors import LocalExecutor\nflow.run(executor=LocalExecutor())",
        {},
    ),
    "threads on this machine": (
        "from prefect.engine.executors import LocalDaskExecutor\nflow.executor = LocalDaskExecutor()\nflow.run()",
        {},
    ),
    "class path that is not there": ("flow.run()", {"PREFECT__ENGINE__EXECUTOR__DEFAULT_CLASS": "acme.DaskExecutor"}),
    "no class path at all": ("flow.run()", {"PREFECT__ENGINE__EXECUTOR__DEFAULT_CLASS": None}),
    "no address": ("flow.run()", NO_ADDRESS),
    "a cluster of its own": ("from distributed import LocalCluster\nLocalCluster()\nflow.run()", {}),
}


def script(head, tail):
    return textwrap.dedent(head) + "\n" + textwrap.dedent(tail)


@pytest.mark.parametrize("path", ["prefect.engine.executors.DaskExecutor", "prefect.executors.DaskExecutor"])
def test_example_runs_all_304_tasks_on_the_workers(runner, cluster, path):
    before = cluster.task_runs()
    done = runner.run(EXAMPLE, PREFECT__ENGINE__EXECUTOR__DEFAULT_CLASS=path)
    assert (done.code, done.reason) == (0, "Succeeded"), done
    assert done.message == "304 of 304 tasks succeeded"
    assert done.tasks == {"total": 304, "failed": 0}
    assert done.report["flow"] == "dask-example"
    assert cluster.task_runs() - before == 304
    assert (done.out + done.err).count("Starting task run") == 0


@pytest.mark.parametrize("tail", EVERY_WAY_TO_BUILD_IT.values(), ids=EVERY_WAY_TO_BUILD_IT)
def test_scripts_of_that_kind_run_unedited(runner, cluster, tail):
    before = cluster.task_runs()
    done = runner.run(script(TWO_TASKS, tail))
    assert done.code == 0, done
    assert cluster.task_runs() - before == 2
    assert (done.out + done.err).count("Starting task run") == 0


def test_an_address_that_the_run_replaces_is_told(runner):
    done = runner.run(script(TWO_TASKS, EVERY_WAY_TO_BUILD_IT["executor with an address of long ago"]))
    assert "the script names tcp://127.0.0.1:2" in done.message, done


def test_failing_task_fails_the_run_and_is_named(runner):
    done = runner.run(FAILING)
    assert (done.code, done.reason) == (3, "FlowFailed"), done
    assert "the script went on" in done.out
    assert done.message == (
        "flow 'halves' failed: 3 of 7 tasks failed: "
        "halve[2] (ValueError: 5 is odd), halve[4] (ValueError: 7 is odd), 1 that depend on them"
    )
    assert done.tasks == {"total": 7, "failed": 3}


def test_script_error_after_a_failed_flow_is_still_a_failed_flow(runner):
    done = runner.run(script(FAILING, "raise SystemExit(1)"))
    assert (done.code, done.reason) == (3, "FlowFailed"), done


def test_one_failed_flow_of_two_fails_the_run(runner):
    done = runner.run(script(FAILING, script(TWO_TASKS, "flow.run()")))
    assert (done.code, done.report["flow"]) == (3, "halves"), done


def test_script_error_is_shown_with_its_place(lone_runner):
    done = lone_runner.run("import prefect\n\n1 / 0\n")
    assert (done.code, done.reason) == (1, "ScriptError"), done
    assert done.message == "ZeroDivisionError: division by zero (flow.py:3)"
    assert "Traceback (most recent call last)" in done.err and "bootstrap" not in done.err


def test_unreachable_scheduler_fails_the_flow_and_names_the_address(lone_runner):
    done = lone_runner.run(script(TWO_TASKS, "flow.run()"), DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT="1s")
    assert (done.code, done.reason) == (3, "SchedulerUnreachable"), done
    assert "tcp://127.0.0.1:1 does not answer" in done.message
    assert done.seconds < 60


@pytest.mark.parametrize("case", SILENT_LOCAL.values(), ids=SILENT_LOCAL)
def test_work_that_would_run_in_the_runner_is_refused(lone_runner, case):
    tail, env = case
    done = lone_runner.run(script(TWO_TASKS, tail), **env)
    assert (done.code, done.reason) == (5, "RanOutsideCluster"), done
    assert "shown" not in done.out and "Starting task run" not in done.out
    assert len(done.message) > 40 and "(flow.py:" in done.message


def test_engine_prefect_refuses_the_same(lone_runner):
    tail, env = SILENT_LOCAL["local executor in code"]
    done = lone_runner.run(script(TWO_TASKS, tail), DASKFLOW_ENGINE="Prefect", **env)
    assert (done.code, done.reason) == (5, "RanOutsideCluster"), done


def test_engine_dask_leaves_the_executor_to_the_script(lone_runner):
    tail = "from prefect.engine.executors import LocalExecutor\nflow.run(executor=LocalExecutor())"
    done = lone_runner.run(script(TWO_TASKS, tail), DASKFLOW_ENGINE="Dask")
    assert (done.code, done.reason) == (0, "Succeeded"), done
    assert "shown 42" in done.out


@pytest.mark.parametrize(
    "call, given, seen",
    [
        ("flow.run()", {"x": 43}, "43 2"),
        ("flow.run(y=7)", {"x": [True, None]}, "[True, None] 7"),
        ("flow.run(parameters={'x': 5})", {"x": 43}, "5 2"),
    ],
    ids=["given", "given and explicit", "explicit wins"],
)
def test_parameters_reach_the_flow(runner, tmp_path, call, given, seen):
    parameters = json.dumps(dict(given, path=str(tmp_path / "seen")))
    done = runner.run(script(WITH_PARAMETERS, call), DASKFLOW_PARAMETERS=parameters)
    assert done.code == 0, done
    assert (tmp_path / "seen").read_text() == seen
    assert ("passes a value of its own" in done.message) == (seen == "5 2")


def test_the_only_clock_s_own_parameters_count_least(runner, tmp_path):
    tail = """
        import datetime
        from prefect.schedules import Schedule
        from prefect.schedules.clocks import IntervalClock
        defaults = {"x": "clock", "y": "clock"}
        flow.schedule = Schedule(clocks=[IntervalClock(datetime.timedelta(days=1), parameter_defaults=defaults)])
        flow.run()
    """
    given = json.dumps({"x": "manifest", "path": str(tmp_path / "seen")})
    done = runner.run(script(WITH_PARAMETERS, tail), DASKFLOW_PARAMETERS=given)
    assert done.code == 0, done
    assert (tmp_path / "seen").read_text() == "'manifest' 'clock'"


def test_missing_required_parameter_is_named(lone_runner):
    done = lone_runner.run(script(WITH_PARAMETERS, "flow.run()"))
    assert (done.code, done.reason) == (1, "ParameterError"), done
    assert "flow 'parametrised' needs parameter 'path'" in done.message


def test_unknown_parameter_stops_the_run_before_any_work(lone_runner):
    done = lone_runner.run(script(WITH_PARAMETERS, "flow.run(path='/dev/null')"), DASKFLOW_PARAMETERS='{"xx": 1}')
    assert (done.code, done.reason) == (1, "ParameterError"), done
    assert "declares parameter 'xx'; declared: path, x, y" in done.message
    assert "Flow run" not in done.out


def test_a_parameter_of_a_flow_that_is_built_later_is_known(runner, tmp_path):
    later = script(WITH_PARAMETERS, "flow.run(path=%r)" % str(tmp_path / "seen"))
    done = runner.run(script(script(TWO_TASKS, "flow.run()"), later), DASKFLOW_PARAMETERS='{"y": 9}')
    assert done.code == 0, done
    assert (tmp_path / "seen").read_text() == "1 9"


@pytest.mark.parametrize("kind, code", [("Prefect", 4), ("Auto", 4), ("Dask", 0)])
def test_flows_that_the_script_never_runs(lone_runner, kind, code):
    done = lone_runner.run(script(TWO_TASKS, "other = Flow('other')"), DASKFLOW_ENGINE=kind)
    assert done.code == code, done
    if code:
        assert done.reason == "NoFlowRan" and "'other', 'small'" in done.message


def test_run_context_carries_the_name_of_the_run(runner, tmp_path):
    source = """
        import prefect
        from prefect import Flow, task

        @task
        def write(path):
            context = prefect.context
            seen = (context.flow_run_id, context.flow_run_name, str(context.date)[:10])
            ticks = (str(context.scheduled_start_time)[:19], context.previous_tick, context.next_tick)
            open(path, "w").write(" ".join(seen + ticks))

        with Flow("named") as flow:
            write(%r)
        flow.run()
    """
    tick, before, after = "2026-03-04T05:06:07Z", "2026-03-04T04:06:07Z", "2026-03-04T06:06:07Z"
    env = {"DASKFLOW_SCHEDULED_TIME": tick, "PREFECT__CONTEXT__PREVIOUS_TICK": before, "PREFECT__CONTEXT__NEXT_TICK": after}
    done = runner.run(source % str(tmp_path / "seen"), **env)
    assert done.code == 0, done
    name = "example-20260101t000000"
    assert (tmp_path / "seen").read_text() == " ".join([name, name, "2026-03-04", tick[:-1], before, after])


def test_sigterm_cancels_what_is_pending_soon(runner, cluster):
    source = """
        import time
        from prefect import Flow, task

        @task
        def long(x):
            time.sleep(1)

        with Flow("long") as flow:
            long.map(range(200))
        flow.run()
    """
    before = cluster.task_runs()
    process = runner.start(source)
    wait_until(lambda: cluster.task_runs() - before > 2, "tasks run", cluster.logs)
    process.terminate()
    sent = time.monotonic()
    done = runner.finish(process)
    assert time.monotonic() - sent < SOON
    assert (done.code, done.reason) == (143, "Terminated"), done
    time.sleep(1.5)  # what had started may end; nothing new may begin after that
    settled = cluster.task_runs()
    time.sleep(1.5)
    assert cluster.task_runs() == settled < before + 200


def test_a_scheduler_of_another_age_does_not_hang_the_runner(python, tmp_path):
    """There the flow ends as Failed, and the interpreter would never end by itself."""
    if "dask-2024.12.1" not in PYTHONS:
        pytest.skip("no environment with dask 2024.12.1; run.sh makes it")
    (tmp_path / "old").mkdir()
    old = Cluster(PYTHONS["dask-2024.12.1"], tmp_path / "old", workers=1)
    try:
        done = Runner(python, tmp_path, old.start().address).run(script(TWO_TASKS, "flow.run()"))
    finally:
        old.stop()
    assert (done.code, done.reason) == (3, "FlowFailed"), done


def test_register_is_left_out(runner):
    tail = "print('id', flow.register(project_name='etl'))\nflow.run()"
    done = runner.run(script(TWO_TASKS, tail))
    assert (done.code, done.reason) == (0, "Succeeded"), done
    assert "flow.register() is left out" in done.message
    assert done.seconds < 60


@pytest.mark.parametrize(
    "tail",
    [
        "client.create_project(project_name='etl')",
        "client.create_project('etl')\nflow.register(project_name='etl')",
        "client.register(flow, project_name='etl')",
    ],
    ids=["project", "project and flow", "flow"],
)
def test_what_a_client_of_the_server_registers_is_left_out(runner, tail):
    done = runner.run(script(TWO_TASKS, "from prefect import Client\nclient = Client()\n%s\nflow.run()" % tail))
    assert (done.code, done.reason) == (0, "Succeeded"), done
    assert "is left out" in done.message


def test_run_by_a_client_of_the_server_needs_a_server(lone_runner):
    tail = "from prefect import Client\nClient().create_flow_run(flow_id='x')"
    done = lone_runner.run(script(TWO_TASKS, tail))
    assert (done.code, done.reason) == (1, "ScriptError"), done
    assert "no Prefect server" in done.message


@pytest.mark.parametrize("tail", ["flow.register(project_name='etl')", "flow.run_agent()"])
@pytest.mark.parametrize("kind", ["Auto", "Dask"])
def test_script_that_only_registers_has_run_nothing(lone_runner, tail, kind):
    done = lone_runner.run(script(TWO_TASKS, tail), DASKFLOW_ENGINE=kind)
    assert (done.code, done.reason) == (4, "NoFlowRan"), done
    assert "call flow.run()" in done.message


def test_sys_exit_after_flows_that_never_ran(lone_runner):
    done = lone_runner.run(script(TWO_TASKS, "import sys\nsys.exit(0)"))
    assert (done.code, done.reason) == (4, "NoFlowRan"), done


@pytest.mark.engines("prefect-1.4.1")
def test_flow_that_starts_flows_needs_a_server(lone_runner):
    source = """
        from prefect import Flow
        from prefect.tasks.prefect import create_flow_run, wait_for_flow_run

        with Flow("parent") as flow:
            wait_for_flow_run(create_flow_run(flow_name="child", project_name="etl"))
        flow.run()
    """
    done = lone_runner.run(source)
    assert (done.code, done.reason) == (1, "ScriptError"), done
    assert "create a FlowRun" in done.message
    assert done.seconds < 60


def test_parameters_that_the_script_reads_itself_are_no_failure(runner, tmp_path):
    tail = """
        import json, os
        flow.run(path=json.loads(os.environ["DASKFLOW_PARAMETERS"])["where"])
    """
    given = json.dumps({"where": str(tmp_path / "seen")})
    done = runner.run(script(WITH_PARAMETERS, tail), DASKFLOW_PARAMETERS=given)
    assert (done.code, done.reason) == (0, "Succeeded"), done


def test_module_beside_a_prefect_flow_reaches_the_workers(runner, tmp_path):
    (tmp_path / "helpers.py").write_text("import prefect\n\ndef square(x):\n    return x * x\n\n@prefect.task\ndef cube(x):\n    return x ** 3\n")
    source = """
        from prefect import Flow, task
        import helpers

        @task
        def show(x, y):
            assert (x, y) == (16, 64)

        with Flow("beside") as flow:
            show(task(helpers.square)(4), helpers.cube(4))
        flow.run()
    """
    done = runner.run(source)
    assert (done.code, done.reason) == (0, "Succeeded"), done


def test_cluster_class_by_a_function_is_named(runner):
    tail = """
        from prefect.engine.executors import DaskExecutor
        flow.run(executor=DaskExecutor(cluster_class=lambda: None))
    """
    done = runner.run(script(TWO_TASKS, tail))
    assert done.code == 0, done
    assert " at 0x" not in done.message and "lambda" in done.message
