"""What questions to a scheduler cost Python's own client: rpc.py ADDRESS KEPT NEW, the numbers of calls on one kept
connection and on new ones. One line for each: the question, and medians and 95th percentiles in microseconds."""
import asyncio
import sys
import time

from distributed.core import rpc

OPERATIONS = ["identity", "adaptive_target", "check_idle"]


def figures(times):
    times = sorted(times)
    return "%.0f %.0f" % (1e6 * times[len(times) // 2], 1e6 * times[len(times) * 95 // 100])


async def timed(call):
    begin = time.perf_counter()
    await call()
    return time.perf_counter() - begin


async def main(address, kept_calls, new_calls):
    kept = rpc(address)
    for name in OPERATIONS:
        if not hasattr(kept, name):
            continue
        await getattr(kept, name)()
        on_kept = [await timed(getattr(kept, name)) for _ in range(kept_calls)]

        async def connect_and_ask():
            fresh = rpc(address)
            await getattr(fresh, name)()
            await fresh.close_rpc()

        on_new = [await timed(connect_and_ask) for _ in range(new_calls)]
        print(name, figures(on_kept), figures(on_new), flush=True)
    await kept.close_rpc()


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
