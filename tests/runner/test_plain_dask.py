"""Plain Dask scripts: passed through, but for a cluster inside the runner."""

import pytest
from conftest import PLAIN_DASK, PYTHONS
from harness import NO_ADDRESS, SAMPLES, Cluster, Runner

pytestmark = pytest.mark.engines(*PLAIN_DASK)


def test_sample_runs_on_the_cluster(runner):
    done = runner.run(SAMPLES / "plain-dask" / "flow.py", DASKFLOW_PARAMETERS='{"count": 4}')
    assert (done.code, done.reason) == (0, "Succeeded"), done
    assert "the sum of the first 4 squares is 14" in done.out
    assert done.report["engine"] == "Dask 2026.8.0"


def test_functions_of_the_script_reach_the_workers(runner):
    source = """
        import os
        from distributed import Client

        def where(x):
            return os.getpid()

        if __name__ == "__main__":
            client = Client()
            assert os.getpid() not in client.gather(client.map(where, range(8)))
    """
    done = runner.run(source)
    assert done.code == 0, done


def test_failing_task_is_a_script_error(runner):
    source = "from distributed import Client\nclient = Client()\nclient.submit(int, 'x').result()\n"
    done = runner.run(source)
    assert (done.code, done.reason) == (1, "ScriptError"), done
    assert "ValueError: invalid literal" in done.message and "(flow.py:3)" in done.message


def test_unreachable_scheduler_is_named(lone_runner):
    source = "from distributed import Client\nClient()\n"
    done = lone_runner.run(source, DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT="1s")
    assert (done.code, done.reason) == (1, "SchedulerUnreachable"), done
    assert "tcp://127.0.0.1:1 does not answer" in done.message


@pytest.mark.parametrize(
    "source, env",
    [
        ("from distributed import Client\nClient()\n", NO_ADDRESS),
        ("from dask.distributed import LocalCluster\nLocalCluster(n_workers=1)\n", {}),
        ("from distributed import LocalCluster\ntry:\n    LocalCluster()\nexcept Exception:\n    pass\n", {}),
    ],
    ids=["client without address", "local cluster", "error swallowed"],
)
@pytest.mark.parametrize("kind", ["Auto", "Dask"])
def test_cluster_inside_the_runner_is_refused(lone_runner, source, env, kind):
    done = lone_runner.run(source, DASKFLOW_ENGINE=kind, **env)
    assert (done.code, done.reason) == (5, "RanOutsideCluster"), done
    assert "inside the runner" in done.message


def test_engine_prefect_expects_a_flow(runner):
    done = runner.run(SAMPLES / "plain-dask" / "flow.py", DASKFLOW_ENGINE="Prefect")
    assert (done.code, done.reason) == (4, "NoFlowRan"), done


def test_a_scheduler_of_another_age_does_not_hang_the_runner(python, tmp_path):
    if "dask-2024.12.1" not in PYTHONS:
        pytest.skip("no environment with dask 2024.12.1; run.sh makes it")
    (tmp_path / "old").mkdir()
    old = Cluster(PYTHONS["dask-2024.12.1"], tmp_path / "old", workers=1)
    try:
        old.start()
        done = Runner(python, tmp_path, old.address).run(SAMPLES / "plain-dask" / "flow.py")
        assert done.code in (0, 1), done  # whichever the two releases agree on; the point is that it ends
    finally:
        old.stop()
