"""The runner: starts a user's flow inside the user's image and reports the truth about it.

    python bootstrap.py SCRIPT [ARGUMENT]...

A package, standard library only, Python 3.7 to 3.13. It runs SCRIPT as `__main__` just as `python SCRIPT` would, and
watches which flows ran and how they ended (Prefect 0.13 to 1.4, 2 and 3), whether the work really goes to the Dask
cluster, and SIGTERM. A script needs no change and no import of ours, nothing in here is imported on the workers, and
Prefect and Dask are loaded only if and when the script does.

- The cluster is the one that the manifest names. Whatever asks for *a* Dask cluster gets this one, whatever address the
  code carries. Whatever would run the work in this process instead is refused.
- The cluster may be others' as well: what would end or restart it is left out.
- The verdict comes last, when threads, children and exit functions are done. A failure is written down before them.

Exit codes, with the reason words of the termination message:
  0     Succeeded
  1     ScriptError         the script raised, exited with a code of its own, or is not there
  1     ParameterError      a parameter is unknown, missing or of a wrong type, or DASKFLOW_PARAMETERS is no JSON object
  3     FlowFailed          a flow that the script ran did not succeed, whatever the script made of it
  1, 3  SchedulerUnreachable  a script or a flow failed because the scheduler takes no connection
  1, 3  ClusterRestarted    a script or a flow failed because somebody else restarted the cluster
  4     NoFlowRan           engine Prefect: none ran; engine Auto: the script has flows at its top level and ran none;
                            any engine: the script only waits for a schedule of its own, or hands its flow to a server
  5     RanOutsideCluster   refused before the work starts, wherever that can be known before
  143   Terminated          by SIGTERM; 130 by Ctrl-C

Environment in:
  DASK_SCHEDULER_ADDRESS    the cluster; also what a plain `distributed.Client()` reads
  DASKFLOW_ENGINE           Auto | Prefect | Dask. Prefect: a flow must run; Dask: executors, task runners and schedulers
                            that the script names are not judged
  DASKFLOW_PARAMETERS       a JSON object, merged into flows that declare the names; plain scripts read it themselves
  DASKFLOW_RUN, DASKFLOW_SCHEDULED_TIME, DASKFLOW_ATTEMPT    the flow run's name, Prefect 1's context, the log
  DASKFLOW_SCHEDULER_PROXY  the host to connect to for that address: its own host is a name that a proxy knows it by
  DASKFLOW_CLUSTER_SHARED   false: no other run uses the cluster. Anything else, or nothing: others may
  DASKFLOW_GRACE_SECONDS    the pod's terminationGracePeriodSeconds
  DASKFLOW_TERMINATION_LOG  where the result goes as JSON; default /dev/termination-log where that exists
"""

import json
import os
import signal
import sys
import traceback
import types
import zipimport
from importlib.machinery import SourceFileLoader, SourcelessFileLoader

from . import ending, endless, gateways, neighbours, on_dask, own_clusters, prefect1, prefect3, workers
from .beside import ModulesBeside, hook_cloudpickle, hook_dask_pickle, prefer_modules_beside
from .hooks import AfterImport, is_a
from .proxy import lead_to_proxy
from .run import RUN, Stop, log, stop
from .verdict import judge, report, text_of


def all_hooks():
    """What runs right after which module was imported."""
    def both(*hooks):
        return lambda module: [hook(module) for hook in hooks]

    return dict(
        endless.HOOKS,
        **{
            "cloudpickle.cloudpickle": hook_cloudpickle,
            "dask.base": on_dask.hook_dask_base,
            "dask.config": on_dask.hook_dask_config,
            "dask.local": on_dask.hook_local_scheduler,
            "dask.threaded": on_dask.hook_local_scheduler,
            "dask.multiprocessing": on_dask.hook_local_scheduler,
            "distributed.client": both(
                on_dask.hook_dask_client, workers.hook_waiting, neighbours.hook_client_of_a_shared_cluster
            ),
            "distributed.protocol.pickle": hook_dask_pickle,
            "distributed.deploy.cluster": own_clusters.hook_cluster,
            "distributed.scheduler": own_clusters.hook_server,
            "distributed.worker": own_clusters.hook_server,
            "distributed.nanny": own_clusters.hook_server,
            "dask_gateway.auth": gateways.hook_auth,
            "dask_gateway.client": gateways.hook_gateway,
            "dask_yarn.core": own_clusters.hook_yarn,
            "dask_mpi.core": own_clusters.hook_mpi,
            "prefect.core.flow": both(prefect1.hook_prefect1_flow, endless.hook_prefect1_flow),
            "prefect.engine.executors.dask": prefect1.hook_prefect1_executor,
            "prefect.executors.dask": prefect1.hook_prefect1_executor,
            "prefect.flow_engine": prefect3.hook_flow_engine,
            "prefect.flows": both(prefect3.hook_prefect2_flow, endless.hook_prefect2_flow),
            "prefect.tasks": both(prefect3.hook_prefect2_task, endless.hook_prefect2_task),
            "prefect_dask.task_runners": prefect3.hook_dask_task_runner,
        }
    )


def read_settings():
    """What is needed at the end is read at the start: a script may clear its environment."""
    default = "/dev/termination-log"
    default = default if os.path.exists(default) else os.devnull
    RUN.message_file = os.path.abspath(os.environ.get("DASKFLOW_TERMINATION_LOG") or default)
    try:
        RUN.grace_s = max(0.0, float(os.environ.get("DASKFLOW_GRACE_SECONDS") or 0))
    except ValueError:
        pass  # as if nobody had said it


def prepare_environment():
    names = ("DASK_SCHEDULER_ADDRESS", "PREFECT__ENGINE__EXECUTOR__DASK__ADDRESS")
    RUN.address = next(filter(None, (os.environ.pop(name, "").strip() for name in names)), "")
    if RUN.address:  # else neither is set: an empty one would be taken for an address
        os.environ.update(dict.fromkeys(names, RUN.address))
        lead_to_proxy(RUN.address)
    # Prefect's own temporary server gets 20 s, which a pod of a fraction of a core does not start it in.
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
    RUN.engine = os.environ.get("DASKFLOW_ENGINE") or "Auto"
    RUN.shared = os.environ.get("DASKFLOW_CLUSTER_SHARED", "").lower() != "false"
    try:
        RUN.parameters = dict(**json.loads(os.environ.get("DASKFLOW_PARAMETERS") or "{}"))
    except (TypeError, ValueError) as error:
        stop("ParameterError", 1, "DASKFLOW_PARAMETERS is not a JSON object: %s" % error)
    if RUN.address.startswith("gateway://"):
        import dask_gateway  # noqa: F401  registers the scheme, which nothing else would do


def run_script(arguments):
    """SCRIPT as `__main__`, with argv and path as `python SCRIPT` would set them."""
    RUN.script = arguments[0] if arguments else "(none named)"
    if not os.path.exists(RUN.script):
        raise FileNotFoundError("there is no script at %s in this image" % RUN.script)
    prepare_environment()
    sys.argv[:] = arguments
    RUN.script = os.path.abspath(RUN.script)  # it may change its directory
    who = ", run %s, attempt %s" % (RUN.name, os.environ.get("DASKFLOW_ATTEMPT") or "1") if RUN.name else ""
    log("daskflow: running %s on %s%s" % (RUN.script, RUN.address or "no cluster", who))
    if os.path.isdir(RUN.script):
        RUN.script = os.path.join(RUN.script, "__main__.py")
    # Python puts the script's directory first, links followed (files of a mounted ConfigMap are links).
    here = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    code, loader = code_of_the_script()
    archive = isinstance(loader, zipimport.zipimporter)
    RUN.folder = os.path.realpath(RUN.script) if archive else os.path.dirname(os.path.realpath(RUN.script))
    if sys.path and os.path.realpath(sys.path[0]) == here:
        sys.path[0] = RUN.folder
    hooks = AfterImport(all_hooks())
    sys.meta_path[:0] = [ModulesBeside(), hooks]
    prefer_modules_beside()
    hooks.catch_up()
    execute(code, loader, archive)


def code_of_the_script():
    """(code, loader) of a text, a compiled file, or an archive, whatever its name: Python looks into it as well."""
    try:
        archive = zipimport.zipimporter(RUN.script)
    except zipimport.ZipImportError:
        pass
    else:
        return archive.get_code("__main__"), archive
    if RUN.script.endswith(".pyc"):
        loader = SourcelessFileLoader("__main__", RUN.script)
        return loader.get_code("__main__"), loader
    with open(RUN.script, "rb") as script:
        source = script.read()
    if source.lstrip().startswith(b"{") and b'"nbformat"' in source:
        words = "%s is a notebook; make a script of it: jupyter nbconvert --to script" % os.path.basename(RUN.script)
        stop("ScriptError", 1, words)
    return compile(source, RUN.script, "exec", dont_inherit=True), SourceFileLoader("__main__", RUN.script)


def execute(code, loader, archive):
    """The module stays `__main__` to the end, as threads and exit functions may still need it."""
    RUN.main = types.ModuleType("__main__")
    RUN.script = code.co_filename if archive else RUN.script
    # Builtins are a module here and a dictionary elsewhere, which no script should know, and some do.
    vars(RUN.main).update(
        __file__=RUN.script, __builtins__=sys.modules["builtins"], __cached__=None, __loader__=loader,
        __package__="" if archive else None,
    )
    sys.modules["__main__"] = RUN.main
    exec(code, vars(RUN.main))


def show(error):
    """The traceback as Python shows it, from the script's first frame on; ours above it are noise."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != RUN.script:
        trace = trace.tb_next
    # The hook prints this one, whatever it is passed. A script that does not compile has no frame, and needs none.
    error.__traceback__ = trace or (None if isinstance(error, SyntaxError) else error.__traceback__)
    try:
        if not getattr(sys.stderr, "closed", True):
            sys.excepthook(type(error), error, error.__traceback__)
            return
    except BaseException:  # a hook of the script's own that fails, or leaves: what failed before is what counts
        pass
    log("".join(traceback.format_exception(type(error), error, error.__traceback__)).rstrip())


def exit_error(request):
    """None if the script left in peace; else an error for the verdict. Python prints what is no number."""
    code = request.code
    if code is None or isinstance(code, int) and code == 0:
        return None
    if not isinstance(code, int):
        log(text_of(code))
    words = "the script exited: %s%s" % (text_of(code), refused_arguments(request))
    return RuntimeError(words).with_traceback(request.__traceback__)


def refused_arguments(request):
    """What argparse or click (typer) has said of the script's arguments before it left; empty where it was neither."""
    said = request.__context__.format_message() if is_a(request.__context__, "UsageError") else ""
    for frame, _ in traceback.walk_tb(request.__traceback__):
        if frame.f_code.co_name == "error" and frame.f_globals.get("__name__") == "argparse":
            said = frame.f_locals.get("message")
    return "; its arguments: %s; they come from args of the Flow" % text_of(said).rstrip(".") if said else ""


def run_to_its_end(arguments):
    """The error that the script ended with. A forked child that comes here ends as Python ends it."""
    try:
        ending.watch_for_sigterm()
        ending.bound_exit_functions()
        ending.catch_os_exit()
        run_script(arguments)
    except SystemExit as request:
        if RUN.in_child:
            raise
        return exit_error(request)
    except KeyboardInterrupt:
        RUN.signal = RUN.signal or signal.SIGINT
    except Stop:
        pass  # the closing line says it all, with the place in the script
    except BaseException as raised:
        show(raised)
        if RUN.in_child:
            raise SystemExit(1) from None
        return raised
    return None


def main(arguments):
    RUN.log = os.dup(2)
    read_settings()
    RUN.main = types.ModuleType("__main__")
    error = run_to_its_end(arguments)
    if RUN.in_child:
        return
    try:
        if error is not None:
            report(*judge(error))
        if not RUN.stopped and not RUN.signal:
            ending.finish_threads()
        if RUN.stopped or RUN.signal:
            report(*judge(error))
        ending.run_exit_functions()
        ending.let_go(error)
    except KeyboardInterrupt:
        RUN.signal = RUN.signal or signal.SIGINT
        report(*judge(error))
        ending.run_exit_functions()
    report(*judge(error))
    ending.end(RUN.exit_code if RUN.exit_code is not None else 1)
