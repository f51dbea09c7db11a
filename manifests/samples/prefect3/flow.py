"""A Prefect 3 flow on Dask. DaskTaskRunner() without an address uses the cluster that the run was given.

Tasks go to the cluster by .map() and .submit(). A task that is simply called runs where the flow itself runs.
"""

from prefect import flow, task
from prefect_dask import DaskTaskRunner


@task
def square(number):
    return number * number


@task
def add_up(numbers):
    return sum(numbers)


@flow(task_runner=DaskTaskRunner(), log_prints=True)
def squares(count: int = 10):
    total = add_up.submit(square.map(range(count))).result()
    print(f"the sum of the first {count} squares is {total}")
    return total


if __name__ == "__main__":
    squares()
