"""Works on the cluster for some seconds, one task after the other, and needs the result of the first at the end."""

import time

from distributed import Client


def work(n):
    time.sleep(0.5)
    return n


if __name__ == "__main__":
    client = Client()
    first = client.submit(work, -1, key="first")
    first.result()
    print("at work", flush=True)
    total = sum(client.submit(work, n, key=f"work-{n}").result() for n in range(16))
    print("total:", total, first.result(), flush=True)
