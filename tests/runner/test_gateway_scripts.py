"""What people write with dask-gateway, as it stands: with its real client, and the run's cluster in the place of a gateway.

Each script ends with an error where it is not answered as by a gateway.
"""

import signal

import pytest
from conftest import PLAIN_DASK
from harness import Runner, wait_until

CLUSTER = "GatewayCluster: the script asks a Dask Gateway for a cluster, the run's cluster is used"

SCRIPTS = {
    "the page": """
        from dask_gateway import Gateway
        import dask.bag as db

        gateway = Gateway("http://127.0.0.1:8000")
        gateway.list_clusters()
        cluster = gateway.new_cluster()
        cluster.scale(4)
        client = cluster.get_client()
        assert db.from_sequence(range(10), npartitions=2).sum().compute() == 45
        cluster.adapt(minimum=2, maximum=10)
        cluster.adapt(active=False)
        cluster.shutdown()
        assert gateway.list_clusters() == []
    """,
    "the one that is there, or a new one": """
        from datetime import datetime, timedelta
        from dask_gateway import Gateway

        gateway = Gateway()
        clusters = gateway.list_clusters()
        if clusters:
            assert timedelta(0) < datetime.now() - clusters[0].start_time < timedelta(hours=12)
            cluster = gateway.connect(clusters[0].name)
        else:
            cluster = gateway.new_cluster()
        assert cluster.get_client().submit(sum, [1, 2]).result() == 3
    """,
    "all that are left are ended first": """
        from dask_gateway import Gateway

        gateway = Gateway()
        for report in gateway.list_clusters():
            gateway.connect(report.name).shutdown()
        assert gateway.list_clusters() == []
        cluster = gateway.new_cluster(worker_cores=2)
        assert [report.name for report in gateway.list_clusters()] == [cluster.name]
        assert cluster.get_client().submit(sum, [1, 2]).result() == 3
    """,
    "it waits until its clusters have ended": """
        import time
        from dask_gateway import Gateway

        gateway = Gateway()
        ways = [
            lambda cluster: cluster.get_client().shutdown(),
            lambda cluster: cluster.close(shutdown=True),
            lambda cluster: cluster.close(),
            lambda cluster: gateway.stop_cluster(cluster.name),
        ]
        for end in ways:
            cluster = gateway.new_cluster()
            assert cluster.get_client().submit(sum, [1, 2]).result() == 3
            end(cluster)
            while gateway.list_clusters():
                time.sleep(0.1)
        cluster = gateway.new_cluster(shutdown_on_close=False)
        cluster.close()
        assert [report.name for report in gateway.list_clusters(status=["running"])] == [cluster.name]
        assert len(gateway.list_clusters(status="stopped")) == len(ways) and not gateway.list_clusters("failed")
        assert all(report.stop_time >= report.start_time for report in gateway.list_clusters(("STOPPED", "failed")))
    """,
    "one that has ended": """
        from dask_gateway import Gateway, GatewayClusterError

        gateway = Gateway()
        cluster = gateway.new_cluster()
        client = cluster.get_client()
        assert client.submit(sum, [1, 2]).result() == 3
        cluster.shutdown()
        report = gateway.get_cluster(cluster.name)
        assert (report.status.name, report.scheduler_address) == ("STOPPED", None), report
        try:
            gateway.connect(cluster.name)
            raise SystemExit("it was connected to")
        except GatewayClusterError as error:
            assert "is already stopped" in str(error)
    """,
    "asked for, and looked at until it runs": """
        import time
        from dask_gateway import Gateway
        from dask_gateway.client import ClusterStatus

        gateway = Gateway()
        name = gateway.submit(worker_cores=1)
        while gateway.get_cluster(name).status != ClusterStatus.RUNNING:
            time.sleep(0.1)
        report = gateway.get_cluster(name, wait=True)
        assert (report.name, report.stop_time) == (name, None)
        with gateway.connect(name) as cluster:
            assert (cluster.name, cluster.status) == (name, "running")
            assert cluster.get_client().submit(sum, [1, 2]).result() == 3
    """,
    "what its scheduler has": """
        import time
        from dask_gateway import GatewayCluster

        cluster = GatewayCluster()
        cluster.scale(2)
        while len(cluster.scheduler_info["workers"]) < 2:
            time.sleep(0.1)
        assert sum(worker["nthreads"] for worker in cluster.scheduler_info["workers"].values()) == 8
        assert cluster.name in repr(cluster) and cluster.name in cluster._repr_html_()
        assert cluster.get_client().submit(sum, [1, 2]).result() == 3
        cluster.close()
        assert cluster.status == "closed" and cluster.scheduler_info["type"] == "Scheduler"
    """,
    "its scheduler itself": """
        from dask_gateway import Gateway

        cluster = Gateway().new_cluster()
        said = cluster.gateway.sync(cluster.scheduler_comm.identity)
        assert len(said["workers"]) == 2 and said["type"] == "Scheduler", said
        assert len(cluster.gateway.sync(cluster.scheduler_comm.ncores)) == 2
        assert cluster.get_client().submit(sum, [1, 2]).result() == 3
        cluster.close()
        assert cluster.scheduler_comm.status.name == "closed"
    """,
    "a user of a hub": """
        from dask_gateway import BasicAuth, Gateway, GatewayCluster, JupyterHubAuth, KerberosAuth
        from dask_gateway import auth

        ways = [BasicAuth(), BasicAuth("alice", password="x"), JupyterHubAuth(), auth.JupyterHubAuth(api_token="x")]
        for way in [*ways, KerberosAuth(), "jupyterhub", "kerberos", KerberosAuth, "not.there.Auth"]:
            gateway = Gateway("https://hub.example/services/dask-gateway/", proxy_address=8786, auth=way)
            assert isinstance(gateway.auth, auth.GatewayAuth)
            assert gateway.proxy_address == "gateway://hub.example:8786"
        assert ways[1].username == "alice" and ways[3].api_token == "x"
        cluster = GatewayCluster(auth=JupyterHubAuth())
        assert cluster.get_client().submit(sum, [1, 2]).result() == 3
    """,
    "the configuration of an image for a hub": """
        import dask
        from dask_gateway import Gateway

        gateway = {"address": "http://{NOT_THERE}:{PORT_OF_THE_HUB}/x", "auth.type": "jupyterhub", "cluster.options": {"image": "{NEITHER}"}}
        dask.config.set({"gateway." + name: value for name, value in gateway.items()})
        gateway = Gateway()
        assert gateway.cluster_options().image == "{NEITHER}"
        assert gateway.get_versions()["client"]["version"]
        assert gateway.new_cluster().get_client().submit(sum, [1, 2]).result() == 3
    """,
    "options of any name": """
        from dask_gateway import Gateway

        gateway = Gateway()
        options = gateway.cluster_options(use_local_defaults=False)
        assert dict(options) == {} and not hasattr(options, "_nothing") and "update" in dir(options)
        options.worker_cores = 2
        options["environment"] = {"A": "1"}
        assert dict(options) == {"worker_cores": 2, "environment": {"A": "1"}} and options.unknown is None
        assert gateway.new_cluster(options).get_client().submit(sum, [1, 2]).result() == 3
    """,
    "only the client is kept": """
        import gc
        from dask_gateway import Gateway

        def clients(size):
            cluster = Gateway().new_cluster()
            cluster.scale(size)
            return cluster.get_client()

        client = clients(3)
        gc.collect()
        assert client.submit(sum, [1, 2]).result() == 3
        client.cluster.adapt(minimum=1, maximum=3)
        client.close()
    """,
    "forgotten where its own loop runs": """
        from dask_gateway import GatewayCluster
        from distributed import Client

        kept = [GatewayCluster()]

        async def forget():
            kept.clear()

        kept[0].gateway.sync(forget)
        assert Client().submit(sum, [1, 2]).result() == 3
    """,
    "certificates": """
        import copy
        from dask.distributed import Client
        from dask_gateway import Gateway
        from dask_gateway.client import GatewaySecurity

        report = Gateway().get_cluster(Gateway().new_cluster(shutdown_on_close=False).name)
        assert isinstance(report.security, GatewaySecurity)
        for security in (copy.deepcopy(report.security), GatewaySecurity(report.tls_key, report.tls_cert)):
            client = Client(report.scheduler_address, security=security)
            assert client.submit(sum, [1, 2]).result() == 3
    """,
    "coroutines": """
        import asyncio
        from dask_gateway import Gateway, GatewayCluster
        from distributed import Client

        async def main():
            async with Gateway(asynchronous=True) as gateway:
                reports = await asyncio.create_task(gateway.list_clusters())
                await asyncio.gather(gateway.get_cluster(reports[0].name), gateway.cluster_options(), gateway.submit())
                async with gateway.new_cluster() as cluster, Client(cluster, asynchronous=True) as client:
                    await cluster.scale(4)
                    assert len(cluster.scheduler_info["workers"]) == 2
                    assert (await cluster.scheduler_comm.identity())["workers"].keys() == cluster.scheduler_info["workers"].keys()
                    await client.wait_for_workers(2)
                    assert await client.submit(sum, [1, 2]) == 3
                async with GatewayCluster(asynchronous=True) as cluster:
                    client = await cluster.get_client()
                    await client.shutdown()
                    assert cluster.name not in [report.name for report in await gateway.list_clusters()]
                await asyncio.wait_for(gateway.stop_cluster(cluster.name), 60)
                return gateway

        gateway = asyncio.run(main())
        assert isinstance(asyncio.run(gateway.list_clusters()), list)
    """,
}


@pytest.mark.engines(*PLAIN_DASK)
@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_a_script_is_answered_as_by_a_gateway(with_client, script):
    done = with_client.run(script)
    assert (done.code, done.reason) == (0, "Succeeded"), done
    assert CLUSTER in done.message
    assert "Traceback" not in done.err and "Exception ignored" not in done.err, done


@pytest.mark.engines(*PLAIN_DASK)
def test_clusters_that_the_script_knows_by_name_are_the_run_s(with_client):
    done = with_client.run("""
        from dask_gateway import Gateway, GatewayCluster

        gateway = Gateway()
        gateway.stop_cluster("0000")
        cluster = gateway.connect("a261d23b")
        assert cluster.name == gateway.get_cluster("a261d23b").name == "a261d23b"
        assert GatewayCluster.from_name("b372").get_client().submit(sum, [1, 2]).result() == 3
        assert {"a261d23b", "b372"} < {report.name for report in gateway.list_clusters()}
    """)
    assert (done.code, done.reason) == (0, "Succeeded"), done
    for name in ("a261d23b", "b372"):
        assert "Gateway: the script names the cluster %s, the run's cluster is used" % name in done.message
    assert "Gateway.stop_cluster() is left out: the cluster is the manifest's" in done.message


@pytest.mark.engines(*PLAIN_DASK)
@pytest.mark.parametrize("link", ["https://hub.example/clusters/a261/status", None], ids=["with a link", "without"])
def test_a_cluster_that_is_a_gateway_s_has_its_name_and_its_dashboard(python, cluster, gateway_client, tmp_path, link):
    env = {"PYTHONPATH": gateway_client, "DASKFLOW_SCHEDULER_PROXY": "127.0.0.1", "DASK_DISTRIBUTED__DASHBOARD__LINK": link}
    runner = Runner(python, tmp_path, cluster.address.replace("127.0.0.1", "daskgateway-a261"))
    done = runner.run("""
        from dask_gateway import Gateway

        cluster = Gateway().new_cluster()
        client = cluster.get_client()
        assert client.submit(sum, [1, 2]).result() == 3
        print(cluster.name, cluster.dashboard_link, client.dashboard_link)
    """, **env)
    assert (done.code, done.reason) == (0, "Succeeded"), done
    assert "a261 %s %s" % (link, link) in done.out


@pytest.mark.engines(*PLAIN_DASK)
@pytest.mark.parametrize("scales", [
    "from dask_gateway import Gateway; cluster = Gateway().new_cluster(); cluster.scale(20); client = cluster.get_client()",
    "client = Client(n_workers=20)",
    "client = Client(); client.cluster.scale(20)",
], ids=["a cluster of a gateway", "a local one", "the one of the client"])
def test_workers_that_only_the_script_asks_for_are_waited_for_a_while(with_client, scales):
    with_client.with_constant("workers.py", "PATIENCE_S", "1.0")
    script = "from distributed import Client\n%s\nclient.wait_for_workers(20)\nassert client.submit(abs, -1).result()" % scales
    done = with_client.run(script)
    assert (done.code, done.reason) == (0, "Succeeded"), done
    assert "client.wait_for_workers(20) is left out: the manifest has the cluster and its size" in done.message
    assert "the script waits for 20 workers, and there are 2: it goes on after 1 s at most" in done.err


@pytest.mark.engines(*PLAIN_DASK)
def test_a_script_that_waits_for_workers_says_so(runner):
    script = """
        from distributed import Client

        client = Client()
        client.wait_for_workers(2)
        print("waits", flush=True)
        client.wait_for_workers(3)
    """
    waiting = runner.start(script)
    wait_until(lambda: "and there are 2" in (runner.directory / "err").read_text(), "it says what it waits for")
    waiting.send_signal(signal.SIGTERM)
    done = runner.finish(waiting)
    assert (done.code, done.reason) == (143, "Terminated"), done
    assert "the script waits for 3 workers, and there are 2: the manifest has their number" in done.message


@pytest.mark.engines(*PLAIN_DASK)
def test_the_cluster_of_a_client_is_not_asked_for_its_workers(runner):
    """The clients of some versions ask it first, and ours asks the client."""
    done = runner.run("""
        from distributed import Client

        class Cluster:
            status = "running"
            def wait_for_workers(self, *_args):
                raise SystemExit("it was asked")

        client = Client()
        client.cluster = Cluster()
        client.wait_for_workers(2)
        client.wait_for_workers(1, timeout=10)
        assert client.submit(abs, -1).result() == 1
    """)
    assert (done.code, done.reason) == (0, "Succeeded"), done
