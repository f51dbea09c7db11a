"""Gives a scheduler something to do, until standard input ends.

`load.py ADDRESS data WORKER` leaves one result on that worker. `load.py ADDRESS work` runs some short tasks, then
hands out tasks that take a minute. Either says "load: ready" when it is so.
"""
import os
import sys
import time

from distributed import Client


def sleep(seconds, number):
    time.sleep(seconds)
    return number


def main():
    client = Client(sys.argv[1], timeout=30)
    if sys.argv[2] == "data":
        kept = client.submit(bytes, 100000, workers=[sys.argv[3]], pure=False)
        kept.result(timeout=60)
    else:
        client.gather(client.map(sleep, [0.01] * 20, range(20), pure=False))
        kept = client.map(sleep, [60] * 40, range(40), pure=False)
    print("load: ready", file=sys.stderr, flush=True)
    while os.read(0, 1024):
        pass
    # Nothing in flight is worth an orderly end.
    os._exit(0)


if __name__ == "__main__":
    main()
