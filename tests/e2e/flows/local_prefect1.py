"""A Prefect 1 flow that asks for an executor which ignores the Dask cluster."""

from prefect import Flow, task
from prefect.executors import LocalExecutor


@task
def work():
    print("work is done in the runner")


with Flow("local") as flow:
    work()

if __name__ == "__main__":
    flow.run(executor=LocalExecutor())
