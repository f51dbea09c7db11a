"""A Prefect 1 flow with a parameter: says where its tasks ran and what the parameter was."""

import socket

from prefect import Flow, Parameter, task


@task
def place(_):
    return socket.gethostname()


@task
def twice(value):
    return value * 2


with Flow("where") as flow:
    places = place.map(list(range(20)))
    doubled = twice(Parameter("x", default=1))

if __name__ == "__main__":
    state = flow.run()
    print("ran on:", *sorted(set(state.result[places].result)))
    print("twice x:", state.result[doubled].result)
