"""Tasks that no worker can run: Dask lets them wait for ever, without a word."""

import threading
import time

from .run import RUN, log

LOOK_EVERY_S = 20.0


def watch_resources(client):
    """Asks the scheduler from time to time, from a thread that ends with the client or the run."""
    threading.Thread(target=watch, args=[client], name="daskflow-resources", daemon=True).start()


def watch(client):
    from distributed.utils import sync

    while True:
        time.sleep(LOOK_EVERY_S)
        if client.status not in ("running", "connecting") or RUN.exit_code is not None:
            return
        try:
            stuck = sync(client.loop, client._run_on_scheduler, stuck_tasks, client_id=client.id, callback_timeout=LOOK_EVERY_S)
        except Exception:
            continue  # the scheduler is busy, or away: nothing is known of its tasks
        text = "; ".join("task %r waits for %s, which no worker has" % (key, what) for key, what in stuck)
        if text and text != RUN.stuck:
            log("daskflow: note: " + text)
        RUN.stuck = text


def stuck_tasks(client_id, dask_scheduler=None):
    """(key, what it waits for) of up to three tasks of this client. Runs in the scheduler: nothing of ours is there."""
    found = []
    for task in list(dask_scheduler.unrunnable)[:1000]:
        needs = ["%s=%g" % need for need in sorted((task.resource_restrictions or {}).items())]
        needs += ["worker " + str(name) for name in sorted(task.worker_restrictions or ())]
        needs += ["host " + str(name) for name in sorted(task.host_restrictions or ())]
        seen, open_ = {task}, [task]
        while open_ and len(seen) < 1000:
            one = open_.pop()
            if any(getattr(wanting, "client_key", None) == client_id for wanting in one.who_wants or ()):
                break
            further = set(one.dependents) - seen
            seen |= further
            open_.extend(further)
        else:
            continue  # of somebody else
        if needs:
            found.append((str(task.key), " ".join(needs)))
        if len(found) == 3:
            break
    return found
