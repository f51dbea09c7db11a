"""Scripts on one cluster: what one of them does to it harms no other."""

import re
import textwrap

import pytest
from conftest import PLAIN_DASK
from harness import Cluster, Runner, wait_until

pytestmark = pytest.mark.engines(*PLAIN_DASK)

HARMLESS = {
    "shutdown": "client.shutdown()",
    "restart": "client.restart()\nassert client.submit(int, 8).result() == 8",
    "restart at the beginning": "client.restart()",
    "retire all workers": "client.retire_workers(list(client.scheduler_info()['workers']))",
    "restart some workers": "client.restart_workers(list(client.scheduler_info()['workers']))",
    "the cluster of the client": "client.cluster.scale(9)\nclient.cluster.adapt(maximum=9)\nclient.cluster.close()",
    "the cluster of the client as a context": "with client.cluster:\n    assert client.submit(int, 8).result() == 8",
    "asynchronous": """
        import asyncio

        async def main():
            async with Client(asynchronous=True) as other:
                await other.restart()
                await other.shutdown()

        asyncio.run(main())
    """,
}


@pytest.mark.parametrize("tail", HARMLESS.values(), ids=HARMLESS)
def test_what_would_harm_others_is_left_out_and_reported(runner, cluster, tail):
    head = "from distributed import Client\nclient = Client()\nassert client.submit(int, 7).result() == 7\n"
    done = runner.run(head + textwrap.dedent(tail))
    assert (done.code, done.reason) == (0, "Succeeded"), done
    assert re.search("shared|closes the client|manifest has the cluster", done.message), done
    after = runner.run(head)
    assert after.code == 0, after
    assert cluster.count("Registered to:") == cluster.worker_count, "a worker was restarted"


def test_what_scripts_ask_of_their_cluster_is_answered(runner):
    source = """
        from distributed import Client
        client = Client(n_workers=2)
        cluster = client.cluster
        print(cluster, cluster.dashboard_link, cluster.status)
        assert cluster.scheduler_address == client.scheduler.address
        assert set(cluster.scheduler_info["workers"]) == set(cluster.workers) == set(client.scheduler_info()["workers"])
        cluster.wait_for_workers(1)
        assert cluster.get_client() is client
    """
    done = runner.run(source)
    assert (done.code, done.reason) == (0, "Succeeded"), done


def test_a_cluster_of_the_run_s_own_may_be_restarted(python, tmp_path):
    (tmp_path / "own").mkdir()
    own = Cluster(python, tmp_path / "own", workers=1, nanny=True)
    try:
        source = """
            from distributed import Client
            client = Client()
            before = client.run(__import__("os").getpid)
            client.restart()
            assert client.run(__import__("os").getpid) != before
        """
        done = Runner(python, tmp_path, own.start().address).run(source, DASKFLOW_CLUSTER_SHARED="false")
    finally:
        own.stop()
    assert (done.code, done.message) == (0, ""), done


@pytest.mark.parametrize("waits_by", ["result()", "gather", "compute"])
def test_victim_of_another_s_restart_says_so(python, tmp_path, waits_by):
    (tmp_path / "victims").mkdir()
    victims = Cluster(python, tmp_path / "victims", workers=1, nanny=True)
    wait = {
        "result()": "client.submit(slow, 60).result()",
        "gather": "client.gather(client.map(slow, [60, 61]))",
        "compute": "import dask; dask.delayed(slow)(60).compute()",
    }[waits_by]
    source = """
        import time
        from distributed import Client

        def slow(seconds):
            open(%r, "w").close()
            time.sleep(seconds)

        client = Client()
        %s
    """
    try:
        marker = tmp_path / "started"
        victim = Runner(python, tmp_path, victims.start().address)
        process = victim.start(source % (str(marker), wait))
        wait_until(marker.exists, "the task runs", (tmp_path / "err").read_text)
        (tmp_path / "other").mkdir()
        other = Runner(python, tmp_path / "other", victims.address)
        other.run("from distributed import Client\nClient().restart()", DASKFLOW_CLUSTER_SHARED="false")
        done = victim.finish(process)
    finally:
        victims.stop()
    assert (done.code, done.reason) == (1, "ClusterRestarted"), done


def test_a_worker_that_dies_is_not_a_restart(python, tmp_path):
    (tmp_path / "dying").mkdir()
    dying = Cluster(python, tmp_path / "dying", workers=1, nanny=True)
    try:
        source = "import os\nfrom distributed import Client\nClient().submit(os._exit, 1).result()\n"
        env = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
        dying.env.update(env)
        done = Runner(python, tmp_path, dying.start().address).run(source)
    finally:
        dying.stop()
    assert (done.code, done.reason) == (1, "ScriptError"), done
    assert "KilledWorker" in done.message
