"""Starts a Dask worker with the limits that its container turns out to have, such as those of a LimitRange.

Of its arguments `{threads}` becomes the CPU limit in whole cores, else 1, and `{memory}` the memory limit in bytes, else auto.
"""
import runpy
import sys


def first(*paths):
    for path in paths:
        try:
            with open("/sys/fs/cgroup/" + path) as file:
                return [int(word) for word in file.read().split() if word.isdigit()]
        except OSError:
            pass  # The other version of control groups, or none.
    return []


def threads():
    quota = first("cpu.max") or first("cpu/cpu.cfs_quota_us") + first("cpu/cpu.cfs_period_us")
    return str(-(-quota[0] // quota[1])) if len(quota) == 2 and quota[0] and quota[1] else "1"


def memory():
    # Version 1 has a number near 2^63 for none.
    limit = first("memory.max", "memory/memory.limit_in_bytes")
    return str(limit[0]) if limit and 0 < limit[0] < 1 << 60 else "auto"


sys.argv = [{"{threads}": threads, "{memory}": memory}.get(word, lambda: word)() for word in sys.argv]
runpy.run_module("distributed.cli.dask_worker", run_name="__main__", alter_sys=True)
