"""The runner: starts a user's flow inside the user's image and reports the truth about it.

    python bootstrap.py SCRIPT [ARGUMENT]...

One file, standard library only, Python 3.8 and later. It runs SCRIPT as `__main__` just as `python SCRIPT` would, and
watches which flows ran and how they ended (Prefect 0.13 to 1.4, 2 and 3), whether the work really goes to the Dask
cluster, and SIGTERM. A script needs no change and no import of ours, nothing in here is imported on the workers, and
Prefect and Dask are loaded only if and when the script does.

- The cluster is the one that the manifest names. Whatever asks for *a* Dask cluster through Prefect gets this one,
  whatever address the code carries. Whatever would run the work in this process instead is refused.
- Every way out ends in `os._exit`: a Dask client that lost its scheduler can block interpreter shutdown for ever.

Exit codes, with the reason words of the termination message:
  0     Succeeded
  1     ScriptError         the script raised, exited with a code of its own, or is not there
  1     ParameterError      a parameter is unknown, missing or of a wrong type, or DASKFLOW_PARAMETERS is no JSON object
  3     FlowFailed          a flow that the script ran did not succeed, whatever the script made of it
  1, 3  SchedulerUnreachable  a script or a flow failed because the scheduler takes no connection
  4     NoFlowRan           engine Prefect: none ran; engine Auto: the script has flows at its top level and ran none
  5     RanOutsideCluster   refused before the work starts, wherever that can be known before
  143   Terminated          by SIGTERM; 130 by Ctrl-C

Environment in:
  DASK_SCHEDULER_ADDRESS    the cluster; also what a plain `distributed.Client()` reads
  DASKFLOW_ENGINE           Auto | Prefect | Dask. Prefect: a flow must run; Dask: executors and task runners are not judged
  DASKFLOW_PARAMETERS       a JSON object, merged into flows that declare the names; plain scripts read it themselves
  DASKFLOW_RUN, DASKFLOW_SCHEDULED_TIME, DASKFLOW_ATTEMPT    the flow run's name, Prefect 1's context, the log
  DASKFLOW_TERMINATION_LOG  where the result goes as JSON; default /dev/termination-log where that exists
"""

import contextlib
import json
import os
import runpy
import signal
import sys

from .ending import leave, wait_for_the_scripts_own_threads, watch_for_sigterm
from .hooks import AfterImport
from .on_dask import hook_dask_client, hook_local_cluster
from .prefect1 import hook_prefect1_executor, hook_prefect1_flow
from .prefect3 import hook_dask_task_runner, hook_prefect2_flow, hook_prefect2_task
from .run import RUN, Stop, stop
from .verdict import judge, report


def prepare_environment():
    names = ("DASK_SCHEDULER_ADDRESS", "PREFECT__ENGINE__EXECUTOR__DASK__ADDRESS")
    RUN.address = next(filter(None, (os.environ.pop(name, "").strip() for name in names)), "")
    if RUN.address:  # else neither is set: an empty one would be taken for an address
        os.environ.update(dict.fromkeys(names, RUN.address))
    RUN.engine = os.environ.get("DASKFLOW_ENGINE") or "Auto"
    try:
        RUN.parameters = dict(**json.loads(os.environ.get("DASKFLOW_PARAMETERS") or "{}"))
    except (TypeError, ValueError) as error:
        stop("ParameterError", 1, "DASKFLOW_PARAMETERS is not a JSON object: %s" % error)
    if RUN.address.startswith("gateway://"):
        import dask_gateway  # noqa: F401  registers the scheme, which nothing else would do


def run_script(arguments):
    """SCRIPT as `__main__`, with argv and path as `python SCRIPT` would set them. Returns its globals."""
    RUN.script = arguments[0] if arguments else "(none named)"
    if not os.path.exists(RUN.script):
        raise FileNotFoundError("there is no script at %s in this image" % RUN.script)
    prepare_environment()
    sys.argv[:] = arguments
    # Python puts the script's directory first, links followed (files of a mounted ConfigMap are links).
    here = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    if sys.path and os.path.realpath(sys.path[0]) == here:
        sys.path[0] = os.path.dirname(os.path.realpath(RUN.script))
    hooks = {
        "distributed.client": hook_dask_client,
        "distributed.deploy.local": hook_local_cluster,
        "prefect.core.flow": hook_prefect1_flow,
        "prefect.engine.executors.dask": hook_prefect1_executor,
        "prefect.executors.dask": hook_prefect1_executor,
        "prefect.flows": hook_prefect2_flow,
        "prefect.tasks": hook_prefect2_task,
        "prefect_dask.task_runners": hook_dask_task_runner,
    }
    sys.meta_path.insert(0, AfterImport(hooks))
    who = ", run %s, attempt %s" % (RUN.name, os.environ.get("DASKFLOW_ATTEMPT") or "1") if RUN.name else ""
    print("daskflow: running %s on %s%s" % (RUN.script, RUN.address or "no cluster", who), file=sys.stderr, flush=True)
    return runpy.run_path(RUN.script, run_name="__main__")


def show(error):
    """The traceback as Python shows it, from the script's first frame on; ours above it are noise."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != RUN.script:
        trace = trace.tb_next
    error.__traceback__ = trace or error.__traceback__  # the hook prints this one, whatever it is passed
    sys.excepthook(type(error), error, error.__traceback__)


def main(arguments):
    error, script_globals = None, {}
    try:
        watch_for_sigterm()
        script_globals = run_script(arguments)
        wait_for_the_scripts_own_threads()
    except SystemExit as request:
        if request.code not in (None, 0):
            error = RuntimeError("the script exited: %s" % (request.code,)).with_traceback(request.__traceback__)
    except KeyboardInterrupt:
        RUN.signal = RUN.signal or signal.SIGINT
    except Stop:
        pass  # the closing line says it all, with the place in the script
    except BaseException as raised:
        error = raised
        show(raised)
    with contextlib.suppress(KeyboardInterrupt):
        report(*judge(error, script_globals))
    leave(RUN.exit_code if RUN.exit_code is not None else 1)
