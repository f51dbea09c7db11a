"""The verdict: from all that was seen to a reason, an exit code and a message."""

import contextlib
import json
import os
import re
import signal
import socket
import sys
import traceback

from .hooks import is_a
from .parameters import quoted, unknown_parameters
from .run import RUN, VERDICT_LOCK, place_in_script

MESSAGE_BYTES_MAX = 4096  # the kubelet cuts a termination message here, in the middle of a character if need be
CONNECT_TIMEOUT_S = 5.0


def judge(error, script_globals):
    """(reason, exit code, message) from all that was seen. The first rule that applies wins."""
    failed = [flow for flow in RUN.flows if flow.error is not None]
    if RUN.signal:
        return "Terminated", 128 + RUN.signal, "stopped by %s" % signal.Signals(RUN.signal).name
    if RUN.stopped:
        return RUN.stopped
    if failed:
        return judge_failed_flow(failed)
    if error is not None:
        gone = cluster_is_gone(error)
        return "SchedulerUnreachable" if gone else "ScriptError", 1, gone + describe(error) + place_of(error)
    if RUN.called and not RUN.sent_to_dask and RUN.engine != "Dask":
        how = "a task that is called runs where the flow is; use task.submit() or task.map()"
        return "RanOutsideCluster", 5, "all %d tasks ran in the runner: %s" % (RUN.called, how)
    if RUN.flows and set(RUN.parameters) - RUN.declared:
        return "ParameterError", 1, unknown_parameters(set(RUN.parameters) - RUN.declared)
    idle = {v.name for v in script_globals.values() if is_a(v, "Flow") and type(v).__module__.startswith("prefect")}
    if not RUN.flows and (RUN.engine == "Prefect" or (RUN.engine == "Auto" and idle)):
        what = "declares flow %s but runs none" % quoted(idle) if idle else "ran no Prefect flow"
        return "NoFlowRan", 4, "the script %s; run it at the end, or say engine: Dask if that is meant" % what
    return "Succeeded", 0, ""


def judge_failed_flow(failed):
    error = failed[0].error
    if type(error).__name__.startswith("Parameter"):  # Prefect 2 and 3: the values did not pass validation
        return "ParameterError", 1, "flow %r: %s" % (failed[0].name, describe(error))
    gone = cluster_is_gone(error)
    others = "; failed too: %s" % quoted(flow.name for flow in failed[1:]) if failed[1:] else ""
    what = failed[0].detail or (describe(error) + place_of(error))
    message = "%sflow %r failed: %s%s" % (gone, failed[0].name, what, others)
    return "SchedulerUnreachable" if gone else "FlowFailed", 3, message


def describe(error):
    text = "%s: %s" % (type(error).__name__, " ".join(str(error).split()))
    return text.rstrip(": ") if isinstance(error, BaseException) else ""


def place_of(error):
    if isinstance(error, SyntaxError) and error.filename == RUN.script:
        return " (%s:%s)" % (os.path.basename(RUN.script), error.lineno)
    return place_in_script(traceback.extract_tb(error.__traceback__))


def cluster_is_gone(error):
    """Words for it, if so. An error counts against the cluster only if its scheduler takes no connection now."""
    scheduler = scheduler_host_and_port()
    if scheduler is not None and (isinstance(error, OSError) or type(error).__name__ == "TimeoutError"):
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
        total, failed = len(RUN.tasks), sum(RUN.tasks.values())
        if not message and total:
            message = "%d of %d tasks succeeded" % (total - failed, total)
        message = "; ".join(filter(None, [message, *RUN.notes]))
        flow = next((flow.name for flow in RUN.flows if flow.error), RUN.flows[-1].name if RUN.flows else "")
        label, library = ("Prefect", "prefect") if RUN.flows else ("Dask", "distributed")
        label, library = (label, sys.modules[library]) if library in sys.modules else ("Python", sys)
        engine = "%s %s" % (label, getattr(library, "__version__", sys.version.split()[0]))
        result = {"reason": reason, "message": message, "exitCode": exit_code, "engine": engine, "flow": flow}
        if total:
            result["tasks"] = {"total": total, "failed": failed}
        default = "/dev/termination-log"
        path = os.environ.get("DASKFLOW_TERMINATION_LOG") or (default if os.path.exists(default) else os.devnull)
        with contextlib.suppress(OSError), open(path, "wb") as log:
            log.write(encode_result(result))
        print("daskflow: %s (exit %d)%s" % (reason, exit_code, ": " + message if message else ""), file=sys.stderr)
        RUN.exit_code = exit_code


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
