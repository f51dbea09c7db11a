"""Keeps the cluster busy until somebody has looked: 60 tasks of half a second."""

import time

from distributed import Client


def nap(_):
    time.sleep(0.5)


if __name__ == "__main__":
    with Client() as client:
        client.gather(client.map(nap, range(60), pure=False))
    print("60 naps")
