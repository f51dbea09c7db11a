"""A flow of Prefect 1 with a KubeCluster of its own, as people run it beside a Kubernetes: nothing here knows of daskflow.

prefect_1.py [EXECUTOR'S KEYWORDS FOR THE CLUSTER, AS JSON]

Each task says on its worker that it ran.
"""

import json
import sys

from prefect import Flow, task
from prefect.executors import DaskExecutor

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


with Flow("sums") as flow:
    first = inc.map(range(ITEMS))
    second = inc.map(first)
    result = total(add.map(first, second))

flow.executor = DaskExecutor(
    cluster_class="dask_kubernetes.operator.KubeCluster", cluster_kwargs=json.loads(sys.argv[1])
)
state = flow.run()
assert state.is_successful(), state
assert state.result[result].result == sum(2 * x + 3 for x in range(ITEMS)), state.result[result]
print("the flow has ended well")
