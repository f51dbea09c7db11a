"""A plain Dask script: asks 40 times on which machine a task runs."""

import socket

from distributed import Client


def place(_):
    return socket.gethostname()


if __name__ == "__main__":
    with Client() as client:
        places = client.gather(client.map(place, range(40), pure=False))
    print("ran on:", *sorted(set(places)))
    print("ran in:", socket.gethostname())
