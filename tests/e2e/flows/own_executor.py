"""A Prefect 1 flow that knows of TLS, and makes its own executor with a `Security` of the files that it is told of."""

import os
import socket

from distributed.security import Security
from prefect import Flow, task
from prefect.executors import DaskExecutor


@task
def place(_):
    return socket.gethostname()


with Flow("own-executor") as flow:
    places = place.map(list(range(20)))

if __name__ == "__main__":
    security = Security(
        tls_ca_file=os.environ["DASKFLOW_TLS_CA"],
        tls_client_cert=os.environ["DASKFLOW_TLS_CERT"],
        tls_client_key=os.environ["DASKFLOW_TLS_KEY"],
        require_encryption=True,
    )
    executor = DaskExecutor(
        address=os.environ["DASK_SCHEDULER_ADDRESS"], client_kwargs={"security": security}
    )
    state = flow.run(executor=executor)
    assert state.is_successful(), state
    print("ran on:", *sorted(set(state.result[places].result)))
