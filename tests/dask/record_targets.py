"""Records what a scheduler's adaptive_target says, once a second, while a client works: record_targets.py

Prints one line of JSON: the release, the load's name and the targets. The series in
src/plan/cluster/autoscale/recorded_targets.jsonl are made with it, on 2024.3.1 and 2026.8.0.
"""
import json
import sys
import threading
import time

import distributed
from distributed import Client, LocalCluster


def steady(client):
    """Two hundred tasks of 0.4 s, once."""
    client.gather(client.map(lambda x: time.sleep(0.4), range(200), pure=False))


def bursts(client):
    """Forty short tasks, then a pause, six times."""
    for _ in range(6):
        client.gather(client.map(lambda x: time.sleep(0.1), range(40), pure=False))
        time.sleep(4)


def trickle(client):
    """One task of a second after the other."""
    for _ in range(20):
        client.submit(time.sleep, 1, pure=False).result()


def record(load):
    with LocalCluster(n_workers=2, threads_per_worker=2, processes=False, dashboard_address=None) as cluster:
        with Client(cluster) as client:
            worker = threading.Thread(target=load, args=(client,))
            targets, calm = [], 0
            worker.start()
            while calm < 5:
                targets.append(cluster.scheduler.adaptive_target(target_duration="5s"))
                calm = 0 if worker.is_alive() else calm + 1
                time.sleep(1)
    return {"release": distributed.__version__, "load": load.__name__, "targets": targets}


if __name__ == "__main__":
    for load in (steady, bursts, trickle):
        print(json.dumps(record(load)))
        sys.stdout.flush()
