"""The verdict: from all that was seen to a reason, an exit code and a message."""

import contextlib
import json
import os
import re
import signal
import socket
import sys
import traceback

from .beside import is_beside
from .hooks import is_a
from .parameters import never_declared, quoted, unreached_parameters
from .run import RUN, VERDICT_LOCK, log, note, place_in_script

MESSAGE_BYTES_MAX = 4096  # the kubelet cuts a termination message here, in the middle of a character if need be
CONNECT_TIMEOUT_S = 5.0
CANCELLED = ("CancelledError", "FutureCancelledError", "FuturesCancelledError")
LOST = ("TimeoutError",) + CANCELLED


def judge(error):
    """(reason, exit code, message) from all that was seen. The first rule that applies wins."""
    failed = [flow for flow in RUN.flows if flow.error is not None]
    if RUN.signal:
        return "Terminated", 128 + RUN.signal, "stopped by %s" % signal.Signals(RUN.signal).name
    if RUN.stopped:
        return RUN.stopped
    if failed:
        return judge_failed_flow(failed)
    if error is not None:
        reason, words = why(error, "ScriptError")
        return reason, 1, words + describe(error) + place_of(error) + causes_of(error)
    if not RUN.sent_to_dask and RUN.engine != "Dask" and ran_here():
        return "RanOutsideCluster", 5, ran_here()
    if RUN.flows and never_declared():
        if not RUN.reads_parameters:
            return "ParameterError", 1, unreached_parameters()
        note("no flow of this script declares parameter %s" % quoted(never_declared()))
    if RUN.left_out and not RUN.flows and not RUN.sent_to_dask:
        return "NoFlowRan", 4, "the script runs nothing"
    idle = {v.name for v in list(vars(RUN.main).values()) if is_prefect_flow(v)}
    if not RUN.flows and (RUN.engine == "Prefect" or (RUN.engine == "Auto" and idle)):
        what = "declares flow %s but runs none" % quoted(idle) if idle else "ran no Prefect flow"
        return "NoFlowRan", 4, "the script %s; run it at the end, or say engine: Dask if that is meant" % what
    return "Succeeded", 0, ""


def ran_here():
    """What of the work was done in this process, in words, where none was sent to the cluster; or nothing."""
    if RUN.called:
        how = "a task that is called runs where the flow is; use task.submit() or task.map()"
        return "all %d tasks ran in the runner: %s" % (RUN.called, how)
    if RUN.kept_here:
        return RUN.kept_here[0] + ", and nothing was sent to the cluster"
    local = [flow.name for flow in RUN.flows if flow.task_runner]
    if local:
        how = "write @flow(task_runner=DaskTaskRunner()) and task.submit(), or set engine: Dask in the Flow"
        return "flow %s ran in the runner, and nothing was sent to the cluster; %s" % (quoted(local), how)
    return ""


def is_prefect_flow(value):
    return is_a(value, "Flow") and type(value).__module__.startswith("prefect")


def judge_failed_flow(failed):
    error = failed[0].error
    if type(error).__name__.startswith("Parameter"):  # Prefect 2 and 3: the values did not pass validation
        return "ParameterError", 1, "flow %r: %s" % (failed[0].name, describe(error))
    reason, words = why(error, "FlowFailed")
    others = "; failed too: %s" % quoted(flow.name for flow in failed[1:]) if failed[1:] else ""
    what = (failed[0].detail or (describe(error) + place_of(error))) + causes_of(error)
    return reason, 3, "%sflow %r failed: %s%s" % (words, failed[0].name, what, others)


def why(error, reason):
    """(reason, words before the error): whether what is around the run has failed, and not the run itself."""
    gone = cluster_is_gone(error)
    if gone:
        return "SchedulerUnreachable", gone
    if was_restarted(error):
        return "ClusterRestarted", "the cluster was restarted by somebody else, and its work was lost: "
    return reason, ""


def text_of(thing):
    """str() that never fails: what an exception says of itself is code of the script's, too."""
    try:
        return " ".join(str(thing).split())
    except Exception:
        return "(%s, whose text cannot be made)" % type(thing).__name__


def describe(error):
    here = isinstance(error, SyntaxError) and error.filename == RUN.script  # place_of says where
    text = "%s: %s" % (type(error).__name__, text_of(error.msg if here else error))
    return text.rstrip(": ") if isinstance(error, BaseException) else ""


def chain(error):
    """The error, its cause, the cause of that, and so on; of a group of errors the first."""
    seen = []
    while isinstance(error, BaseException) and all(error is not known for known in seen) and len(seen) < 100:
        seen.append(error)
        group = getattr(error, "exceptions", None)
        error = error.__cause__ or (group[0] if isinstance(group, (list, tuple)) and group else None)
    return seen


def causes_of(error):
    """The deepest cause, which libraries wrap in words of their own, and the cure where we know it."""
    deepest = chain(error)[-1] if isinstance(error, BaseException) else error
    words = "" if deepest is error else "; caused by %s" % describe(deepest)
    name = (getattr(deepest, "name", None) or "").split(".")[0] if isinstance(deepest, ModuleNotFoundError) else ""
    if name and is_beside(name):
        words += "; %s is beside the script and not on the workers: import it at the top of the script, not in a task" % name
        words += ", or set PYTHONPATH in the cluster's env"
    if isinstance(deepest, NameError) and "'get_ipython'" in text_of(deepest):
        words += "; it is what nbconvert makes of a magic of a notebook (%, !): delete these lines"
    if name == "dask_gateway":
        words += "; put dask-gateway into the image, or write Client() in the place of what it makes: either is the run's cluster"
    return words


def place_of(error):
    if isinstance(error, SyntaxError) and error.filename == RUN.script:
        return " (%s:%s)" % (os.path.basename(RUN.script), error.lineno)
    return place_in_script(traceback.extract_tb(error.__traceback__))


def was_restarted(error):
    """Dask cancels what a client waits for when another client restarts the cluster. A worker that dies is not this."""
    cancelled = [one for one in chain(error) if type(one).__name__ in CANCELLED]
    signs = ("Scheduler has restarted", "scheduler-restart", "scheduler-connection-lost")
    told = RUN.restarted or any(sign in text_of(one) for one in cancelled for sign in signs)
    return bool(cancelled) and told and not RUN.restarted_here


def cluster_is_gone(error):
    """Words for it, if so. An error counts against the cluster only if its scheduler takes no connection now."""
    scheduler = scheduler_host_and_port()
    if scheduler is not None and any(isinstance(one, OSError) or type(one).__name__ in LOST for one in chain(error)):
        try:
            socket.create_connection(scheduler, timeout=CONNECT_TIMEOUT_S).close()
        except OSError:
            return "Dask scheduler %s does not answer: " % RUN.address
    return ""


def scheduler_host_and_port():
    place = re.match(r"(?:(?:tcp|tls)://)?\[?([^/]+?)\]?:(\d+)$", RUN.address)
    return (place.group(1), int(place.group(2))) if place else None


def report(reason, exit_code, message):
    """The result, once: as JSON for the operator and as one line for the log."""
    with VERDICT_LOCK:
        if RUN.exit_code is not None:
            return
        total, failed = len(RUN.tasks), sum(failed is True for failed in RUN.tasks.values())
        message = message or words_on_tasks()
        if reason == "Succeeded" and "dask.base" in sys.modules and not RUN.sent_to_dask and RUN.engine != "Dask":
            RUN.notes["nothing was sent to the Dask cluster"] = True
        held_up = [RUN.stuck, RUN.waits_for] if exit_code else []
        message = "; ".join(filter(None, [message, *held_up, *RUN.notes]))
        RUN.exit_code = exit_code  # first: whatever fails below, the verdict stands
        with contextlib.suppress(Exception):
            write_result(reason, exit_code, message, total, failed)
        log("daskflow: %s (exit %d)%s" % (reason, exit_code, ": " + message if message else ""))


def words_on_tasks():
    """How many tasks succeeded. Of one that the flow has not waited for, no more is known than that it was submitted."""
    if not RUN.tasks:
        return ""
    words = "%d of %d tasks succeeded" % (sum(failed is False for failed in RUN.tasks.values()), len(RUN.tasks))
    if RUN.waits_on:
        words += "; the flow ended without waiting for %d, which may not have run:" % len(RUN.waits_on)
        words += " call wait() or result() of what submit() and map() return"
    return words


def write_result(reason, exit_code, message, total, failed):
    flow = next((flow.name for flow in RUN.flows if flow.error), RUN.flows[-1].name if RUN.flows else "")
    label, library = ("Prefect", "prefect") if RUN.flows else ("Dask", "distributed")
    label, library = (label, sys.modules[library]) if library in sys.modules else ("Python", sys)
    engine = "%s %s" % (label, getattr(library, "__version__", sys.version.split()[0]))
    result = {"reason": reason, "message": message, "exitCode": exit_code, "engine": engine, "flow": flow}
    if total:
        result["tasks"] = {"total": total, "failed": failed}
    with open(RUN.message_file, "wb") as file:
        file.write(encode_result(result))


def encode_result(result):
    """At most MESSAGE_BYTES_MAX of valid JSON: free text is cut until it fits, at a character."""
    result = dict(result, flow=result["flow"][:200])
    while True:
        data = json.dumps(result, ensure_ascii=False).encode("utf-8", "replace")
        over = len(data) - MESSAGE_BYTES_MAX
        if over <= 0:
            return data
        # A character takes at most six bytes here, so each round cuts too little rather than too much, and all end.
        result["message"] = result["message"][: max(0, len(result["message"]) - over // 6 - 4)].rstrip("…") + "…"
