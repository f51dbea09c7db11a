"""A Prefect 3 flow: says where its tasks ran and what the parameter was."""

import socket

from prefect import flow, task
from prefect_dask import DaskTaskRunner


@task
def place(_):
    return socket.gethostname()


@flow(task_runner=DaskTaskRunner())
def where(count: int = 4):
    places = [future.result() for future in place.map(range(count))]
    print("tasks:", len(places), flush=True)
    print("ran on:", *sorted(set(places)), flush=True)


if __name__ == "__main__":
    where()
