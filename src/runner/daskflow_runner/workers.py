"""How many workers there are stands in the manifest: what a script says of that is left out, and does not make it wait."""

from .hooks import is_a, replace
from .run import RUN, log, note

PATIENCE_S = 60.0  # for workers of which only the script says that they come


def leave_size_out(name):
    RUN.size_left_out = True
    note("%s() is left out: the manifest has the cluster and its size" % name)


def hook_waiting(module):
    """distributed.client: the method that waits for workers, which is also asked of the cluster of a client."""
    @replace(module.Client, "wait_for_workers")
    def wait(original, self, n_workers=0, timeout=None):
        if not isinstance(n_workers, int) or n_workers < 1:
            return original(self, n_workers, timeout)  # which says what is wrong with it
        return self.sync(wait_for_workers, self, n_workers, timeout)


async def wait_for_workers(client, wanted, timeout):
    from dask.utils import parse_timedelta

    info = await client.scheduler.identity()
    # A paused one is not waited for; older schedulers do not say.
    there = sum(worker.get("status", "running") == "running" for worker in info["workers"].values())
    if there >= wanted:
        return await client._wait_for_workers(wanted, timeout=timeout)  # by that the client knows them
    missing = "the script waits for %d workers, and there are %d" % (wanted, there)
    if not RUN.size_left_out:
        RUN.waits_for = missing + ": the manifest has their number"
        log("daskflow: note: " + RUN.waits_for)
        try:
            await client._wait_for_workers(wanted, timeout=timeout)
        except BaseException as error:  # it waits no more; a run that is ended meanwhile does
            if isinstance(error, Exception) or not (RUN.signal or RUN.unwinding):
                RUN.waits_for = ""
            raise
        RUN.waits_for = ""
        return
    limit_s = min(PATIENCE_S, parse_timedelta(timeout, "s") if timeout else PATIENCE_S)
    log("daskflow: %s: it goes on after %g s at most" % (missing, limit_s))
    try:
        await client._wait_for_workers(wanted, timeout=limit_s)
    except Exception as error:
        if not is_a(error, "TimeoutError"):
            raise
        note("client.wait_for_workers(%d) is left out: the manifest has the cluster and its size" % wanted)
