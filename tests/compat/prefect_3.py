"""A flow of Prefect 3 with a KubeCluster of its own, as people run it beside a Kubernetes: nothing here knows of daskflow.

prefect_3.py [TASK RUNNER'S KEYWORDS FOR THE CLUSTER, AS JSON]

Each task says on its worker that it ran, and reports to the API server of PREFECT_API_URL.
"""

import json
import sys

from prefect import flow, task
from prefect_dask import DaskTaskRunner

ITEMS = 20


@task
def inc(x):
    print("a task ran", flush=True)
    return x + 1


@task
def add(x, y):
    print("a task ran", flush=True)
    return x + y


@task
def total(values):
    print("a task ran", flush=True)
    return sum(values)


@flow(
    task_runner=DaskTaskRunner(
        cluster_class="dask_kubernetes.operator.KubeCluster", cluster_kwargs=json.loads(sys.argv[1])
    )
)
def sums():
    first = inc.map(range(ITEMS))
    second = inc.map(first)
    both = add.map(first, second)  # kept: on a busy machine they may be released before they are asked for
    return total.submit(both).result()


assert sums() == sum(2 * x + 3 for x in range(ITEMS))
print("the flow has ended well")
