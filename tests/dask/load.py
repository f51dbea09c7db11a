"""Gives a scheduler something to do, until standard input ends. Says "load: ready" when it is handed over.

`load.py ADDRESS LOAD`, where LOAD is one of

    data WORKER [BYTES]          one result lies on that worker
    work                         some short tasks have run; tasks of a minute follow
    tasks COUNT                  tasks of a minute
    asking NAME=AMOUNT COUNT     tasks of a minute that ask for so much of a resource
    busy WORKER                  a task of a minute for that worker
    secede WORKER                a task of a minute that has left that worker's threads
    backlog COUNT SECONDS FILE   tasks that say in the file, "begins NUMBER WORKER" and "ends NUMBER WORKER", what they do
"""
import os
import sys
import time

from distributed import Client, get_worker, secede


def sleep(seconds, number):
    time.sleep(seconds)
    return number


def leave_and_sleep(seconds):
    secede()
    time.sleep(seconds)


def sleep_and_tell(seconds, number, file):
    worker = get_worker().name
    tell(file, f"begins {number} {worker}")
    time.sleep(seconds)
    tell(file, f"ends {number} {worker}")
    return number


def tell(file, line):
    with open(file, "a") as told:
        told.write(line + "\n")


def hand_over(client, kind, rest):
    if kind == "data":
        size = int(rest[1]) if len(rest) > 1 else 100000
        kept = client.submit(bytes, size, workers=[rest[0]], pure=False)
        kept.result(timeout=60)
        return kept
    if kind == "work":
        client.gather(client.map(sleep, [0.01] * 20, range(20), pure=False))
        return client.map(sleep, [60] * 40, range(40), pure=False)
    if kind == "tasks":
        return client.map(sleep, [60] * int(rest[0]), range(int(rest[0])), pure=False)
    if kind == "asking":
        name, amount = rest[0].split("=")
        count = int(rest[1])
        return client.map(sleep, [60] * count, range(count), pure=False, resources={name: float(amount)})
    if kind == "busy":
        return client.submit(sleep, 60, 0, workers=[rest[0]], pure=False)
    if kind == "secede":
        return client.submit(leave_and_sleep, 60, workers=[rest[0]], pure=False)
    if kind == "backlog":
        count, seconds, file = int(rest[0]), float(rest[1]), rest[2]
        return client.map(sleep_and_tell, [seconds] * count, range(count), [file] * count, pure=False)
    sys.exit("no such load: " + kind)


def main():
    client = Client(sys.argv[1], timeout=30)
    _kept = hand_over(client, sys.argv[2], sys.argv[3:])
    print("load: ready", file=sys.stderr, flush=True)
    while os.read(0, 1024):
        pass
    # Nothing in flight is worth an orderly end.
    os._exit(0)


if __name__ == "__main__":
    main()
