"""A Prefect 1 flow of 304 task runs: three maps over 100 items each, and one sum at the end.

Nothing in here knows about Kubernetes. `python flow.py` runs it every minute on whatever executor Prefect's
configuration names; a `Flow` resource runs the same file, unedited, on a Dask cluster.
"""

from datetime import datetime, timedelta
from random import uniform
from time import sleep

from prefect import Flow, task
from prefect.schedules import IntervalSchedule

READINGS = 100


def pretend_to_work():
    sleep(uniform(0.01, 0.09))


@task
def to_fahrenheit(celsius):
    pretend_to_work()
    return celsius * 9 / 5 + 32


@task
def to_kelvin(celsius):
    pretend_to_work()
    return celsius + 273.15


@task
def difference(fahrenheit, kelvin):
    pretend_to_work()
    return fahrenheit - kelvin


@task(name="total")
def total_of(values):
    return sum(values)


with Flow("dask-example") as flow:
    in_fahrenheit = to_fahrenheit.map(range(READINGS))
    in_kelvin = to_kelvin.map(range(READINGS))
    differences = difference.map(in_fahrenheit, in_kelvin)
    total = total_of(differences)


def main():
    flow.schedule = IntervalSchedule(start_date=datetime.utcnow(), interval=timedelta(minutes=1))
    flow.run()


if __name__ == "__main__":
    main()
