"""What people do with a KubeCluster of dask-kubernetes, which knows nothing of daskflow: each step is printed when it is done.

    kubecluster.py NAMESPACE IMAGE SERVICE_TYPE

The cluster is the one that KUBECONFIG names. With ClusterIP the client forwards ports; with LoadBalancer it connects to the address
in the Service's status. Tasks are functions of Python itself, so that the Python here may be another one than that of the image.
"""

import asyncio
import os
import sys
import time

import kr8s
from dask_kubernetes.operator import KubeCluster, make_cluster_spec
from distributed import Client

PATIENCE_S = 120
namespace, image, service = sys.argv[1:]
given = {
    "namespace": namespace,
    "quiet": True,
    "port_forward_cluster_ip": True if service == "ClusterIP" else None,
}
begun = time.monotonic()


def say(step):
    print(f"{time.monotonic() - begun:6.1f} s  {step}", flush=True)


def until(step, look):
    end = time.monotonic() + PATIENCE_S
    while not look():
        assert time.monotonic() < end, f"{step}: not within {PATIENCE_S} s"
        time.sleep(0.1)
    say(step)


def objects(kind, **selectors):
    return list(kr8s.get(kind, namespace=namespace, **selectors))


def in_a_script():
    cluster = KubeCluster(
        name="sync",
        image=image,
        n_workers=1,
        scheduler_service_type=service,
        env={"GREETING": "hello"},
        resources={"requests": {"cpu": "50m"}, "limits": {"cpu": "1", "memory": "512Mi"}},
        **given,
    )
    say("created")
    with Client(cluster) as client:

        def has(count):
            return lambda: len(client.nthreads()) == count

        assert client.submit(sum, [1, 10]).result(timeout=PATIENCE_S) == 11
        assert client.submit(os.getenv, "GREETING").result(timeout=PATIENCE_S) == "hello"
        say("submitted")
        cluster.scale(2)
        until("scale(2)", has(2))
        kept = client.scatter(list(range(20)))
        cluster.scale(1)
        until("scale(1)", has(1))
        assert sum(client.gather(kept)) == 190, "what workers had is there after they were removed"
        del kept  # the last worker is not removed while it has the only copy
        cluster.add_worker_group("more", n_workers=1)
        until("add_worker_group", has(2))
        other = KubeCluster.from_name("sync", shutdown_on_close=False, **given)  # so by default, but in 2023
        assert other == cluster
        other.scale(0, worker_group="more")
        until("from_name, and its scale(0) of the group", has(1))
        other.close()
        assert objects("daskclusters.kubernetes.dask.org"), "what was found by its name stays"
        cluster.delete_worker_group("more")
        cluster.scale(0)
        until("scale(0)", has(0))
        cluster.adapt(minimum=0, maximum=1)
        assert client.submit(sum, [2, 3], pure=False).result(timeout=PATIENCE_S) == 5
        say("adapt: a task has brought a worker")
        cluster.scale(1)
        until("scale(1) after adapt", has(1))
        assert not objects("daskautoscalers.kubernetes.dask.org")
    logs = cluster.get_logs()
    assert any("Scheduler at" in str(log) for log in logs.values()), logs
    say("get_logs")
    cluster.close()
    assert not objects("daskclusters.kubernetes.dask.org")
    pods = {"label_selector": "dask.org/cluster-name=sync"}
    until("closed, and all its pods have ended", lambda: not objects("pods", **pods))


async def in_an_event_loop():
    spec = make_cluster_spec("async", image=image, n_workers=1, scheduler_service_type=service)
    async with KubeCluster(custom_cluster_spec=spec, asynchronous=True, **given) as cluster:
        async with Client(cluster, asynchronous=True) as client:
            assert await client.submit(abs, -42) == 42
            say("asynchronous, with a spec of its own")
    say("closed")


async def in_a_cell():
    """A notebook runs its cells in an event loop, in which nothing here waits."""
    cluster = KubeCluster(name="cell", image=image, n_workers=1, scheduler_service_type=service, **given)
    with Client(cluster) as client:
        assert client.submit(abs, -42).result(timeout=PATIENCE_S) == 42
    say("in a running event loop")
    cluster.close()
    say("closed")


in_a_script()
asyncio.run(in_an_event_loop())
asyncio.run(in_a_cell())
assert not objects("daskclusters.kubernetes.dask.org")
print("all steps are done")
