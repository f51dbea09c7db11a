"""Scripts that ask a Dask Gateway for their cluster: with the real dask-gateway they get the run's; no gateway is there."""

import pytest
from conftest import PLAIN_DASK, PREFECT_1, PREFECT_3
from harness import Runner

# The page of Prefect 0.13, with its words; the flow is where it says so.
PAGE = """
    {imports}
    from dask_gateway import Gateway

    {flow}

    gateway = Gateway()
    cluster = gateway.new_cluster()
    executor = {executor}(
        address=cluster.scheduler_address,
        client_kwargs={{"security": cluster.security}}
    )
    flow.run(executor=executor)
"""
BY_HAND = """
    {imports}
    from dask_gateway.client import GatewaySecurity

    {flow}

    security = GatewaySecurity(tls_cert="path-to-cert", tls_key="path-to-key")
    executor = {executor}(
        address="a-scheduler-address",
        client_kwargs={{"security": security}}
    )
    flow.run(executor=executor)
"""
FLOW_1 = """
    from prefect import Flow, task

    @task
    def one():
        return 1

    with Flow("behind a gateway") as flow:
        one()
"""
PREFECT_3_FLOW = """
    from dask_gateway import Gateway
    from prefect import flow, task
    from prefect_dask import DaskTaskRunner

    cluster = Gateway("https://hub.example/services/dask-gateway", auth="jupyterhub").new_cluster(worker_cores=2)

    @task
    def one():
        return 1

    @flow(task_runner=DaskTaskRunner(address=cluster.scheduler_address, client_kwargs={"security": cluster.security}))
    def behind():
        return one.submit().result()

    assert behind() == 1
"""
PLAIN = """
    import os
    from dask_gateway import Gateway, GatewayCluster
    from dask_gateway.client import GatewaySecurity
    from distributed import Client

    def on_the_runs(client):
        assert os.getpid() != client.submit(os.getpid, pure=False).result()

    gateway = Gateway(address="http://nowhere.invalid")
    options = gateway.cluster_options()
    options.worker_cores = 4
    options["image"] = "flows:1"
    with gateway.new_cluster(options, shutdown_on_close=False) as cluster:
        cluster.scale(20)
        cluster.adapt(minimum=1, maximum=9)
        with cluster.get_client() as client:
            on_the_runs(client)
        with Client(cluster) as client:
            on_the_runs(client)
        with Client(cluster.scheduler_address, security=GatewaySecurity(tls_key="k", tls_cert="c")) as client:
            on_the_runs(client)
    again = gateway.connect(gateway.list_clusters()[0].name)
    with Client(again.scheduler_address, security=again.security) as client:
        on_the_runs(client)
    gateway.stop_cluster(again.name)
    again.shutdown()
    with GatewayCluster(address="http://nowhere.invalid", worker_cores=1) as third:
        on_the_runs(third.get_client())
    print("all on the run's cluster")
"""
ASYNCHRONOUS = """
    import asyncio
    from dask_gateway import Gateway

    async def main():
        async with Gateway("http://nowhere.invalid", asynchronous=True) as gateway:
            options = await gateway.cluster_options()
            async with gateway.new_cluster(options) as cluster:
                await cluster.scale(2)
                async with cluster.get_client() as client:
                    assert await client.submit(sum, [1, 2]) == 3
            cluster = await gateway.new_cluster()
            await cluster.close()

    asyncio.run(main())
    print("awaited")
"""
ASKED = "GatewayCluster: the script asks a Dask Gateway for a cluster, the run's cluster is used"


def dedented(text, **parts):
    lines = {name: part.replace("\n    ", "\n").strip() for name, part in parts.items()}
    return "\n".join(line[4:] for line in text.strip("\n").splitlines()).format(**lines)


@pytest.mark.engines(*PREFECT_1)
@pytest.mark.parametrize("page", [PAGE, BY_HAND], ids=["new cluster", "certificates by hand"])
def test_the_page_s_own_snippet_runs(with_client, cluster, page):
    before = cluster.task_runs()
    imports = "from prefect.engine.executors import DaskExecutor"
    done = with_client.run(dedented(page, imports=imports, flow=FLOW_1, executor="DaskExecutor"))
    assert (done.code, done.reason) == (0, "Succeeded"), done
    assert cluster.task_runs() == before + 1
    expected = ASKED if page is PAGE else "DaskExecutor: the script names a-scheduler-address, the run's cluster is used"
    assert expected in done.message


@pytest.mark.engines(*PREFECT_3)
def test_a_task_runner_at_a_new_cluster(with_client, prefect_api):
    done = with_client.run(PREFECT_3_FLOW, PREFECT_API_URL=prefect_api)
    assert (done.code, done.reason) == (0, "Succeeded"), done
    assert ASKED in done.message and done.tasks == {"total": 1, "failed": 0}


@pytest.mark.engines(*PLAIN_DASK)
def test_whatever_a_script_asks_a_gateway_for(with_client):
    done = with_client.run(PLAIN)
    assert (done.code, done.reason) == (0, "Succeeded"), done
    assert "all on the run's cluster" in done.out
    left_out = ["cluster.scale", "cluster.adapt", "Gateway.cluster_options", "Gateway.stop_cluster"]
    for note in [ASKED, *("%s() is left out" % name for name in left_out), "GatewaySecurity of the script is left out"]:
        assert note in done.message, done
    assert "the script names" not in done.message


@pytest.mark.engines(*PLAIN_DASK)
def test_a_script_that_awaits_its_gateway(with_client):
    done = with_client.run(ASYNCHRONOUS)
    assert (done.code, done.reason) == (0, "Succeeded"), done
    assert "awaited" in done.out and "cluster.scale() is left out" in done.message


@pytest.mark.engines(*PLAIN_DASK)
def test_a_gateway_that_is_asked_past_its_client_is_refused(with_client):
    script = """
        import asyncio
        from dask_gateway import Gateway

        async def main():
            async with Gateway("http://x.invalid", asynchronous=True) as gateway:
                await gateway._request("GET", gateway.address + "/api/health")

        asyncio.run(main())
    """
    done = with_client.run(script)
    assert (done.code, done.reason) == (5, "RanOutsideCluster"), done
    expected = "asks a Dask Gateway by GET http://x.invalid/api/health, and the runner has no login there; leave it out"
    assert expected + " (flow.py:7)" in done.message


@pytest.mark.engines(*PLAIN_DASK)
def test_without_a_cluster_of_the_run_there_is_none(python, gateway_client, tmp_path):
    runner = Runner(python, tmp_path, "", {"PYTHONPATH": gateway_client})
    done = runner.run("from dask_gateway import GatewayCluster\nGatewayCluster('http://x.invalid')\n")
    assert (done.code, done.reason) == (5, "RanOutsideCluster"), done
    assert "GatewayCluster" in done.message


@pytest.mark.engines("prefect-1.4.1", *PLAIN_DASK)
def test_an_image_without_dask_gateway_says_what_to_do(lone_runner):
    done = lone_runner.run("from dask_gateway import Gateway\nGateway().new_cluster()\n")
    assert (done.code, done.reason) == (1, "ScriptError"), done
    assert "put dask-gateway into the image, or write Client()" in done.message
