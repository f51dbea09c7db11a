"""A plain Dask script that knows of TLS, and makes its own `Security` of the files that it is told of."""

import os
import socket

from distributed import Client
from distributed.security import Security


def place(_):
    return socket.gethostname()


if __name__ == "__main__":
    security = Security(
        tls_ca_file=os.environ["DASKFLOW_TLS_CA"],
        tls_client_cert=os.environ["DASKFLOW_TLS_CERT"],
        tls_client_key=os.environ["DASKFLOW_TLS_KEY"],
        require_encryption=True,
    )
    with Client(os.environ["DASK_SCHEDULER_ADDRESS"], security=security) as client:
        places = client.gather(client.map(place, range(40), pure=False))
    print("ran on:", *sorted(set(places)))
