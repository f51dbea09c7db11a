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

import atexit
import contextlib
import functools
import gc
import importlib.util
import inspect
import json
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import types
import urllib.request
import warnings

MESSAGE_BYTES_MAX = 4096  # the kubelet cuts a termination message here, in the middle of a character if need be
SIGTERM_GRACE_S = 1.5  # for Prefect and Dask to cancel what is pending; the promise is to be gone within 2 s
LINGER_S = 30.0  # for exit functions of the script and its libraries; a Dask client that cannot close hangs in one
CONNECT_TIMEOUT_S = 5.0
API_START_S = 300.0  # Prefect's server imports for seconds, and for a minute beside busy neighbours

# Everything learnt on the way. One per process, like the run itself.
RUN = types.SimpleNamespace(
    script="", address="", engine="Auto", parameters={}, name=os.environ.get("DASKFLOW_RUN", ""),
    flows=[],  # what ran: SimpleNamespace(name, error, detail), error None unless it failed
    declared=set(),  # parameter names that the flows which ran declare
    tasks={},  # a key for each task run -> did it fail
    called=0,  # Prefect 2 and 3: tasks that were called, which run in the flow's own process
    sent_to_dask=False,  # did any graph leave this process for a scheduler
    notes={},  # what the user should know although the run went on; a dict for its order
    stopped=None,  # (reason, exit code, message) of a Stop, even if the script swallowed it
    api=None, api_url="",  # for Prefect 2 and 3: see start_prefect_api
    signal=0, exit_code=None,  # the code is set once the verdict is written
)
VERDICT_LOCK = threading.Lock()


class Stop(RuntimeError):
    """The run must not go on, for the reason in RUN.stopped."""


def refuse(message):
    stop("RanOutsideCluster", 5, message)


def stop(reason, exit_code, message):
    RUN.stopped = RUN.stopped or (reason, exit_code, message + place_in_script(traceback.extract_stack()))
    raise Stop(RUN.stopped[2])


# --- Hooks: code that runs right after a module was imported, whoever imports it, and only then -----------------------
class AfterImport:
    """A finder for sys.meta_path that finds nothing itself: it lets the others find and calls the hook afterwards."""

    def __init__(self, hooks):
        self.hooks = hooks

    def find_spec(self, name, path=None, target=None):
        hook = self.hooks.pop(name, None)  # popped first: the search below comes through here again
        spec = importlib.util.find_spec(name) if hook else None
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module
        def exec_module(module):
            execute(module)
            hook(module)
        spec.loader.exec_module = exec_module
        return spec


def replace(owner, name):
    """Decorator: the function takes the place of the method `owner.name`, which it gets as its first argument."""
    def decorate(function):
        original = getattr(owner, name, None)
        @functools.wraps(original or function)
        def replacement(self, *args, **kwargs):
            return function(original, self, *args, **kwargs)

        if original is not None:
            setattr(owner, name, replacement)
    return decorate


def is_a(thing, class_name):
    """isinstance by name, so that no library must be imported to ask."""
    return any(cls.__name__ == class_name for cls in type(thing).__mro__)


def hook_local_cluster(module):
    """distributed.deploy.local: the one way in which Dask itself starts a cluster inside this process."""
    @replace(module.LocalCluster, "__init__")
    def start_cluster(_original, self, *_args, **_kwargs):
        why = "Client() without arguments uses the run's" if RUN.address else "DASK_SCHEDULER_ADDRESS is empty"
        refuse("the script starts a Dask cluster of its own (%s) inside the runner; %s" % (type(self).__name__, why))


def hook_dask_client(module):
    """distributed.client: every submit, map, compute and persist sends its graph through this one method."""
    RUN.sent_to_dask = not hasattr(module.Client, "_graph_to_futures")  # where it is named differently: no evidence
    @replace(module.Client, "_graph_to_futures")
    def send(original, self, *args, **kwargs):
        RUN.sent_to_dask = True
        return original(self, *args, **kwargs)


# --- Parameters -------------------------------------------------------------------------------------------------------
def parameters_for(flow, explicit, defaults=()):
    """What to call this flow with besides what the script passes itself, which wins."""
    declared = declared_parameters(flow)
    RUN.declared.update(declared)
    given = {name: value for name, value in RUN.parameters.items() if name in declared}
    for name in sorted(set(given) & set(explicit)):
        RUN.notes["parameter %r: the script passes a value of its own, which wins" % name] = True
    unknown = set(RUN.parameters) - RUN.declared
    if unknown and unknown - names_that_may_come(type(flow)):
        stop("ParameterError", 1, unknown_parameters(unknown - names_that_may_come(type(flow))))
    added = {name: value for name, value in dict(defaults, **given).items() if name not in explicit}
    missing = [name for name, required in declared.items() if required and name not in explicit and name not in added]
    if missing:
        stop("ParameterError", 1, "flow %r needs parameter %s" % (flow.name, quoted(missing)))
    return added


def declared_parameters(flow):
    """{name: is it required}. Prefect 1 flows list their parameters; later ones are functions."""
    if callable(getattr(flow, "parameters", None)):
        return {parameter.name: parameter.required for parameter in flow.parameters()}
    try:
        signature = inspect.signature(flow.fn).parameters.values()
    except (AttributeError, TypeError, ValueError):
        return {}
    declared = {p.name: p.default is p.empty for p in signature if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    if any(p.kind is p.VAR_KEYWORD for p in signature):  # def flow(**anything): every given name is welcome
        declared = dict(dict.fromkeys(RUN.parameters, False), **declared)
    return declared


def names_that_may_come(flow_class):
    """Names that another flow of the script may still declare: those of flows that exist, and any word of the script.

    A misspelt parameter should stop the run before it works with a wrong value, but a file may build its flows one
    after the other. So a name fails at once only if nobody ever mentions it; the rest is judged at the end.
    """
    names = set().union(*(declared_parameters(x) for x in gc.get_objects() if issubclass(type(x), flow_class)))
    with contextlib.suppress(OSError), open(RUN.script, encoding="utf-8", errors="replace") as script:
        names.update(re.findall(r"\w+", script.read()))
    return names


def unknown_parameters(names):
    known = ", ".join(sorted(RUN.declared)) or "none"
    return "no flow of this script declares parameter %s; declared: %s" % (quoted(names), known)


def quoted(names):
    return ", ".join(repr(name) for name in sorted(names))


# --- Prefect 0.13 to 1.4 ----------------------------------------------------------------------------------------------
def hook_prefect1_flow(module):
    """prefect.core.flow: one run, now, with the given parameters, on the cluster; how it ended is remembered."""
    @replace(module.Flow, "run")
    def run(original, self, parameters=None, run_on_schedule=None, runner_cls=None, **kwargs):
        named = {name: kwargs.pop(name) for name in declared_parameters(self) if name in kwargs}
        values = dict(parameters or {}, **named)
        # What the script's only clock would pass. Several may disagree: then the manifest has to say it.
        clocks = getattr(getattr(self, "schedule", None), "clocks", None) or []
        defaults = getattr(clocks[0], "parameter_defaults", None) if len(clocks) == 1 else None
        values.update(parameters_for(self, values, defaults or {}))
        executor = kwargs.pop("executor", None) or getattr(self, "executor", None) or default_executor(self.name)
        check_on_dask(self.name, executor, "DaskExecutor", "use DaskExecutor(), or flow.run() without an executor")
        date = os.environ.get("DASKFLOW_SCHEDULED_TIME")  # 0.13 does not take it from PREFECT__CONTEXT__DATE
        tick = date and module.pendulum.parse(date)
        context = {"flow_run_id": RUN.name, "flow_run_name": RUN.name, "date": tick}
        known = {name: value for name, value in context.items() if value}
        kwargs["context"] = dict(known, **kwargs.get("context") or {})
        flow = types.SimpleNamespace(name=self.name, error=None, detail="")
        RUN.flows.append(flow)
        class FlowRunner(runner_cls or module.prefect.engine.get_default_flow_runner_class()):
            def run(self, *args, **kwargs):  # Flow.run takes this moment for the scheduled start
                kwargs["context"].update({"scheduled_start_time": tick} if tick else {})
                return super().run(*args, **kwargs)

        # The manifest holds the schedule; with Prefect's own, the script would wait for a tick and never end.
        state = original(self, values, False, FlowRunner, executor=executor, **kwargs)
        if state is not None:
            read_prefect1_state(flow, state)
        return state


def default_executor(flow_name):
    """The executor that the configuration names, whichever era its class path is from.

    Prefect looks the path up among modules that are already imported, and falls back to running everything locally
    when it is not there. `prefect.engine.executors` was the place up to 0.13, `prefect.executors` is since 0.14.
    """
    import prefect.engine

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "moved to", "could not import": we tell in our own words, or need not
        with contextlib.suppress(ImportError):
            import prefect.engine.executors
        if importlib.util.find_spec("prefect.executors") is None:
            sys.modules["prefect.executors"] = sys.modules["prefect.engine.executors"]
        executor = prefect.engine.get_default_executor_class()()
    path = str(prefect.config.engine.executor.default_class)
    if path.rsplit(".", 1)[-1] != type(executor).__name__ and RUN.engine != "Dask":
        refuse("flow %r: there is no executor class %s, so Prefect would run it all in the runner" % (flow_name, path))
    return executor


def check_on_dask(flow_name, runs_it, wanted, remedy):
    """The promise that is checked before any work starts. Engine Dask: the script sees to it by itself."""
    if RUN.engine == "Dask":
        return
    if not is_a(runs_it, wanted):
        refuse("flow %r would run its tasks in the runner, by %s; %s" % (flow_name, type(runs_it).__name__, remedy))
    if not RUN.address:
        refuse("flow %r has no Dask cluster to run on: DASK_SCHEDULER_ADDRESS is empty" % flow_name)


def hook_prefect1_executor(module):
    """DaskExecutor of either era: connects to the run's cluster, whatever address or cluster class the code carries."""
    @replace(module.DaskExecutor, "__init__")
    def init(original, self, address=None, cluster_class=None, cluster_kwargs=None, *args, **kwargs):
        if not RUN.address:
            return original(self, address, cluster_class, cluster_kwargs, *args, **kwargs)
        original(self, RUN.address, None, None, *args, **kwargs)
        forget_cluster_in_code(self, address or cluster_class or cluster_kwargs)


def forget_cluster_in_code(owner, named):
    if named and named != RUN.address:
        RUN.notes["%s: the script names %s, the run's cluster is used" % (type(owner).__name__, named)] = True
        # Certificates for another address are of no use; the run's own come from Dask's configuration.
        owner.client_kwargs.pop("security", None)


def read_prefect1_state(flow, state):
    failed, held_back = [], 0
    for name, task_state in task_runs(state):
        RUN.tasks[len(RUN.tasks)] = task_state.is_failed()
        if type(task_state).__name__ == "TriggerFailed":  # only a consequence: named last
            held_back += 1
        elif task_state.is_failed():
            failed.append("%s (%s)" % (name, describe(task_state.result) or task_state.message))
    if state.is_successful():
        return
    flow.error = state.result if isinstance(state.result, BaseException) else RuntimeError(state.message or str(state))
    if failed:
        causes = failed[:3] + ["%d more" % (len(failed) - 3)] * (len(failed) > 3)
        causes += ["%d that depend on them" % held_back] * bool(held_back)
        flow.detail = "%d of %d tasks failed: %s" % (len(failed) + held_back, len(RUN.tasks), ", ".join(causes))


def task_runs(state):
    """(name, state) of each task that ran; a mapped task is one run, and each of its children is one more."""
    for task, task_state in (state.result if isinstance(state.result, dict) else {}).items():
        if type(task).__name__ != "Constant":  # a value in the graph, never run
            yield task.name, task_state
            for index, child in enumerate(getattr(task_state, "map_states", None) or []):
                yield "%s[%d]" % (task.name, index), child


# --- Prefect 2 and 3 --------------------------------------------------------------------------------------------------

TASK_RUNNER_REMEDY = "write @flow(task_runner=DaskTaskRunner())"

def hook_prefect2_flow(module):
    """prefect.flows: a flow that the script calls gets parameters and an API; how it ends is remembered.

    Flows inside a flow are part of it, so they are left alone here; `hook_prefect2_task` watches their tasks.
    """
    from prefect.context import FlowRunContext
    @replace(module.Flow, "__call__")
    def call(original, self, *args, **kwargs):
        if FlowRunContext.get() is not None:
            return original(self, *args, **kwargs)
        kwargs.update(parameters_for_call(self, args, kwargs))
        check_on_dask(self.name, self.task_runner, "DaskTaskRunner", TASK_RUNNER_REMEDY)
        if RUN.name and getattr(self, "flow_run_name", "") is None:
            self.flow_run_name = RUN.name
        flow = types.SimpleNamespace(name=self.name, error=None, detail="")
        RUN.flows.append(flow)
        with with_an_api(flow):
            result = original(self, *args, **kwargs)
        if inspect.isawaitable(result):
            return finish_async(flow, result)
        read_prefect2_result(flow, result)
        return result

    async def finish_async(flow, pending):
        with with_an_api(flow):
            result = await pending
        read_prefect2_result(flow, result)
        return result


def parameters_for_call(flow, args, kwargs):
    own = {name: value for name, value in kwargs.items() if name not in ("return_state", "wait_for")}
    try:
        explicit = inspect.signature(flow.fn).bind_partial(*args, **own).arguments
    except TypeError:  # the call itself is wrong: Prefect says it better
        return {}
    return parameters_for(flow, set(explicit) | set(own))


@contextlib.contextmanager
def with_an_api(flow):
    """Around a flow: the API that its tasks report to. How it fails is remembered."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    try:
        if RUN.address and RUN.api is None and not PREFECT_API_URL.value():
            start_prefect_api()
        with temporary_settings({PREFECT_API_URL: wait_for_prefect_api()} if RUN.api else {}):
            yield
    except BaseException as error:
        flow.error = error
        raise


def start_prefect_api():
    """Without an API, Prefect starts a temporary one in every process: here and in each worker.

    Those on the workers cost each of them seconds of a core before its first task, time out when cores are few, and
    meet in one database when workers share a disk. So there is one, here, listening where the workers can reach it: on
    the address from which this process reaches the scheduler. Prefect sends its place along with every task.
    """
    scheduler = scheduler_host_and_port()
    if scheduler is None or importlib.util.find_spec("prefect.server") is None:
        return
    with socket.create_connection(scheduler, timeout=CONNECT_TIMEOUT_S) as probe:
        host, family = probe.getsockname()[0], probe.family
    # The flags by which Prefect marks its own temporary servers: no web UI, none of the services for deployments.
    flags = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    command = [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"]
    with socket.socket(family, socket.SOCK_STREAM) as listener:  # handed over open: nobody can take the port between
        listener.bind((host, 0))
        listener.listen(128)
        command += ["--fd", str(listener.fileno()), "--log-level", "error", "--lifespan", "on"]
        RUN.api = subprocess.Popen(command, env=dict(os.environ, **flags), pass_fds=[listener.fileno()])
        RUN.api_url = "http://%s:%d/api" % ("[%s]" % host if ":" in host else host, listener.getsockname()[1])


def wait_for_prefect_api():
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + API_START_S
    while time.monotonic() < deadline and RUN.api.poll() is None:
        with contextlib.suppress(OSError), opener.open(RUN.api_url + "/health", timeout=CONNECT_TIMEOUT_S):
            return RUN.api_url
        time.sleep(0.1)
    raise RuntimeError("Prefect's temporary API server did not start; set PREFECT_API_URL to one that runs")


def read_prefect2_result(flow, result):
    """Without return_state a failed flow has raised; with it, the failure is in the state that the call returns."""
    if is_a(result, "State") and not result.is_completed():
        cause = getattr(result.data, "result", result.data)
        flow.error = cause if isinstance(cause, BaseException) else RuntimeError(result.message or str(result))


def hook_prefect2_task(module):
    """prefect.tasks: submit and map go to the flow's task runner, a plain call runs right here."""
    if not hasattr(getattr(module, "Task", None), "submit"):  # Prefect 1 has a package of this name
        return
    from prefect.context import FlowRunContext

    def start(original, self, *args, **kwargs):
        run = FlowRunContext.get()
        if run is not None:
            check_on_dask(run.flow.name, run.task_runner, "DaskTaskRunner", TASK_RUNNER_REMEDY)
        return original(self, *args, **kwargs)

    def call(original, self, *args, **kwargs):
        if FlowRunContext.get() is None:
            return original(self, *args, **kwargs)
        RUN.called += 1
        key = "call %d" % RUN.called
        RUN.tasks[key] = True  # failed, until it has returned
        result = original(self, *args, **kwargs)
        RUN.tasks[key] = is_a(result, "State") and not result.is_completed()
        return result

    replace(module.Task, "submit")(start)
    replace(module.Task, "map")(start)
    replace(module.Task, "__call__")(call)


def hook_dask_task_runner(module):
    """prefect_dask.task_runners: connects to the run's cluster, as above. Left alone it starts one of its own, whatever
    DASK_SCHEDULER_ADDRESS says. Counts what is submitted, and what failed as far as the flow looks at the results."""
    @replace(module.DaskTaskRunner, "__init__")
    def init(original, self, *args, **kwargs):
        said = inspect.signature(original).bind(self, *args, **kwargs).arguments
        elsewhere = [said.pop(name, None) for name in ("cluster", "address", "cluster_class", "cluster_kwargs")]
        if not RUN.address:
            return original(self, *args, **kwargs)
        said.pop("adapt_kwargs", None)  # the operator scales it
        original(**dict(said, address=RUN.address))
        forget_cluster_in_code(self, next(filter(None, elsewhere), None))

    @replace(module.DaskTaskRunner, "submit")
    def submit(original, self, *args, **kwargs):
        future = original(self, *args, **kwargs)
        RUN.tasks[getattr(future, "task_run_id", len(RUN.tasks))] = False
        return future

    def look(original, self, *args, **kwargs):
        try:
            return original(self, *args, **kwargs)
        finally:
            state = getattr(self, "_final_state", None)
            if state is not None:
                RUN.tasks[self.task_run_id] = not state.is_completed()

    if hasattr(module, "PrefectDaskFuture"):  # Prefect 2 has none
        replace(module.PrefectDaskFuture, "wait")(look)
        replace(module.PrefectDaskFuture, "result")(look)


# --- The verdict ------------------------------------------------------------------------------------------------------
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


def place_in_script(frames):
    lines = [frame.lineno for frame in frames if frame.filename == RUN.script]  # not of a library below it
    return " (%s:%d)" % (os.path.basename(RUN.script), lines[-1]) if lines else ""


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


# --- Signals and the way out ------------------------------------------------------------------------------------------
def watch_for_sigterm():
    """Python as PID 1 ignores SIGTERM, and a handler waits while C code runs. So two things listen.

    The handler raises in the main thread: clean. A thread hears of the signal through the wake-up pipe, even while the
    main thread is stuck, and ends the process when the grace is over.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)

    def on_sigterm(signum, _frame):
        with contextlib.suppress(OSError):
            os.write(writing, bytes([signum]))  # again, in case a library took the wake-up pipe
        if not RUN.signal and RUN.exit_code is None:
            RUN.signal = signum
            raise KeyboardInterrupt  # on which Prefect and Dask cancel what is pending

    def watch():
        while os.read(reading, 1) != bytes([signal.SIGTERM]):
            pass
        time.sleep(SIGTERM_GRACE_S)
        RUN.signal = RUN.signal or signal.SIGTERM
        threading.Timer(0.2, end, [143]).start()  # whoever reads our output may have stopped
        report(*judge(None, {}))
        sys.stdout.flush()
        end(RUN.exit_code)

    def forget_in_child():  # a forked child, such as a multiprocessing worker, must not end its parent
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    signal.signal(signal.SIGTERM, on_sigterm)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=forget_in_child)
    threading.Thread(target=watch, name="daskflow-sigterm", daemon=True).start()


def wait_for_the_scripts_own_threads():
    """As Python does at the end of a script: an answer of success must not cut off work that is still under way."""
    pools = sys.modules.get("concurrent.futures.thread")
    if hasattr(pools, "_python_exit"):
        pools._python_exit()  # lets thread pools finish what was submitted, then ends their threads
    for thread in threading.enumerate():
        if thread not in (threading.current_thread(), threading.main_thread()) and not thread.daemon:
            thread.join()


def leave(code):
    """Exit functions first, the script's own and those of libraries, but not for ever; then flush and go."""
    threading.Timer(LINGER_S, end, [code]).start()
    with contextlib.suppress(BaseException):  # a second signal, or a broken exit function: the verdict stands
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    end(code)


def end(code):
    if RUN.api is not None:
        RUN.api.kill()
    os._exit(code)


# --- Start ------------------------------------------------------------------------------------------------------------
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
    here = os.path.dirname(os.path.realpath(__file__))
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


if __name__ == "__main__":
    main(sys.argv[1:])
