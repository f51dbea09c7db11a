"""The runner: starts a user's flow inside the user's image and reports the truth about it.

    python bootstrap.py SCRIPT

What it is: one file, standard library only, Python 3.8 and later, that runs SCRIPT as `__main__` just as `python SCRIPT`
would, and watches three things on the way: which flows ran and how they ended (Prefect 0.13 to 1.4, 2 and 3), whether
the work really goes to the Dask cluster, and SIGTERM. What it is not: a framework. A script needs no change and no
import of ours, and nothing here is imported on the workers.

It never imports Prefect or Dask by itself: it waits until the script does (see `AfterImport`), so that a plain script
pays nothing and each library is hooked in the version that the image has.

Rules that hold everywhere:
- The cluster is the one the manifest names. Whatever asks for *a* Dask cluster through Prefect gets this one, whatever
  address the code carries. Whatever would run the work in this process instead is refused.
- Exit codes and reason words are an interface, see below.
- Every way out ends in `os._exit`: a Dask client that lost its scheduler can block interpreter shutdown for ever.

Exit codes, with the reason words of the termination message:
  0  Succeeded
  1  ScriptError         the script raised, exited with a code of its own, or is not there
  1  ParameterError      a parameter is unknown, missing or of a wrong type, or DASKFLOW_PARAMETERS is no JSON object
  3  FlowFailed          a flow that the script ran did not succeed, whatever the script made of it
  4  NoFlowRan           engine Prefect: none ran; engine Auto: the script has flows at its top level and ran none
  5  RanOutsideCluster   refused before the work starts wherever that can be known before
  1, 3  ClusterUnreachable   a script or a flow failed because the scheduler takes no connection
  143, 130  Terminated   SIGTERM, Ctrl-C

Environment in:
  DASK_SCHEDULER_ADDRESS     the cluster; also what a plain `distributed.Client()` reads
  DASKFLOW_ENGINE            Auto | Prefect | Dask: Prefect means that a flow must run; Dask means that the script sends
                             its work by itself, so Prefect's own choice of executor is not judged
  DASKFLOW_PARAMETERS        a JSON object; merged into the flows that declare the names; plain scripts read it themselves
  DASKFLOW_RUN, DASKFLOW_FLOW, DASKFLOW_SCHEDULED_TIME, DASKFLOW_ATTEMPT    identity of this run, for names and logs
  DASKFLOW_TERMINATION_LOG   where the result goes as JSON; default /dev/termination-log where that exists
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
LINGER_S = 30.0  # for the exit functions of the script and its libraries; a Dask client that cannot close hangs in one
CONNECT_TIMEOUT_S = 5.0
API_START_S = 120.0  # it imports for seconds, more so beside busy neighbours
ENGINES = ("Auto", "Prefect", "Dask")

# Everything learnt on the way. One per process, like the run itself.
RUN = types.SimpleNamespace(
    script="",
    address="",
    engine="Auto",
    parameters={},
    name=os.environ.get("DASKFLOW_RUN", ""),
    flows=[],  # what ran: SimpleNamespace(name, error, detail), error None when it succeeded
    declared=set(),  # parameter names that the flows which ran declare
    tasks={},  # a key for each task run -> did it fail
    notes=[],  # what the user should know although the run went on
    refusal="",  # why the work may not run here
    bad_parameters="",
    sent_to_dask=False,  # did any graph leave this process for a scheduler
    ran_here=0,  # Prefect 2 and 3: tasks called directly, which run in the flow's own process
    client=None,
    api=None,  # the process of Prefect's temporary API server
    api_url="",
    signal=0,
    exit_code=None,  # set once the verdict is written
)
VERDICT_LOCK = threading.Lock()


class Refused(RuntimeError):
    """The work would run in this process instead of on the cluster."""


class BadParameters(ValueError):
    """The parameters given to this run do not fit its flows."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised in the main thread. Prefect and Dask cancel what is pending on a KeyboardInterrupt."""


def refuse(message):
    RUN.refusal = RUN.refusal or message + place_in_script()
    raise Refused(RUN.refusal)


def reject_parameters(message):
    RUN.bad_parameters = RUN.bad_parameters or message + place_in_script()
    raise BadParameters(RUN.bad_parameters)


def note(text):
    if text not in RUN.notes:
        RUN.notes.append(text)


# --- Hooks: code that runs right after a module was imported, whoever imports it, and only then -----------------------


class AfterImport:
    """A finder for sys.meta_path that finds nothing itself: it lets the others find and calls the hook afterwards."""

    def __init__(self, hooks):
        self.hooks = hooks

    def find_spec(self, name, path=None, target=None):
        hook = self.hooks.pop(name, None)  # popped first: the search below comes through here again
        if hook is None:
            return None
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            hook(module)

        spec.loader.exec_module = exec_module
        return spec


def is_a(thing, class_name):
    """isinstance by name, so that no library must be imported to ask."""
    return any(cls.__name__ == class_name for cls in type(thing).__mro__)


def hook_local_cluster(module):
    """distributed.deploy.local: the one way in which Dask itself starts a cluster inside this process."""

    def __init__(self, *args, **kwargs):
        why = "DASK_SCHEDULER_ADDRESS is empty" if not RUN.address else "write Client() without arguments to use the run's"
        refuse("the script starts a Dask cluster of its own (%s) inside the runner; %s" % (type(self).__name__, why))

    module.LocalCluster.__init__ = __init__


def hook_dask_client(module):
    """distributed.client: every submit, map, compute and persist sends its graph through this one method."""
    original = getattr(module.Client, "_graph_to_futures", None)
    if original is None:  # another release may name it differently; then there is no evidence against the run
        RUN.sent_to_dask = True
        return

    @functools.wraps(original)
    def send(self, *args, **kwargs):
        RUN.sent_to_dask = True
        return original(self, *args, **kwargs)

    module.Client._graph_to_futures = send


# --- Parameters -------------------------------------------------------------------------------------------------------


def read_parameters(text):
    try:
        parameters = json.loads(text or "{}")
    except ValueError as error:
        reject_parameters("DASKFLOW_PARAMETERS is not JSON: %s" % error)
    if not isinstance(parameters, dict):
        reject_parameters("DASKFLOW_PARAMETERS must be a JSON object, not %s" % type(parameters).__name__)
    return parameters


def parameters_for(flow, declared, explicit):
    """The given parameters that this flow declares. What the script passes itself wins over them."""
    RUN.declared.update(declared)
    for name in sorted(set(RUN.parameters) & set(declared) & set(explicit)):
        note("parameter %r: the script passes a value of its own, which wins" % name)
    hopeless = set(RUN.parameters) - RUN.declared - names_that_may_come(type(flow))
    if hopeless:
        reject_parameters(unknown_parameters(hopeless))
    return {name: value for name, value in RUN.parameters.items() if name in declared and name not in explicit}


def names_that_may_come(flow_class):
    """Names that another flow of the script may still declare: flows that exist, and any word of the script.

    A misspelt parameter should stop the run before it works with a wrong value, but a file may build its flows one
    after the other. So a name fails at once only if nobody ever mentions it; the rest is judged at the end.
    """
    names = set()
    for flow in gc.get_objects():
        if issubclass(type(flow), flow_class):
            names.update(declared_parameters(flow))
    with contextlib.suppress(OSError, UnicodeDecodeError), open(RUN.script, encoding="utf-8") as script:
        names.update(re.findall(r"\w+", script.read()))
    return names


def declared_parameters(flow):
    """{name: is it required}. Prefect 1 flows list their parameters; later ones are functions."""
    if callable(getattr(flow, "parameters", None)):
        return {parameter.name: parameter.required for parameter in flow.parameters()}
    try:
        signature = inspect.signature(flow.fn).parameters.values()
    except (AttributeError, TypeError, ValueError):
        return {}
    named = [p for p in signature if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    declared = {p.name: p.default is p.empty for p in named}
    if any(p.kind is p.VAR_KEYWORD for p in signature):  # def flow(**anything): every given name is welcome
        declared.update({name: False for name in RUN.parameters if name not in declared})
    return declared


def unknown_parameters(names):
    return "no flow of this script declares parameter %s; declared: %s" % (
        ", ".join(repr(name) for name in sorted(names)),
        ", ".join(sorted(RUN.declared)) or "none",
    )


def require(flow_name, declared, given):
    missing = sorted(name for name, required in declared.items() if required and name not in given)
    if missing:
        reject_parameters("flow %r needs parameter %s" % (flow_name, ", ".join(repr(name) for name in missing)))


# --- Prefect 0.13 to 1.4 ----------------------------------------------------------------------------------------------


def hook_prefect1_flow(module):
    """prefect.core.flow: one run, now, with the given parameters, on the cluster; remember how it ended."""
    original = module.Flow.run

    @functools.wraps(original)
    def run(self, parameters=None, run_on_schedule=None, runner_cls=None, **kwargs):
        flow = types.SimpleNamespace(name=self.name, error=None, detail="")
        declared = declared_parameters(self)
        explicit = dict(parameters or {}, **{name: kwargs.pop(name) for name in declared if name in kwargs})
        values = clock_defaults(self)
        values.update(parameters_for(self, declared, explicit))
        values.update(explicit)
        require(self.name, declared, values)
        executor = kwargs.pop("executor", None) or getattr(self, "executor", None) or default_executor(self.name)
        check_executor(self.name, executor)
        if RUN.name:
            kwargs["context"] = dict({"flow_run_id": RUN.name, "flow_run_name": RUN.name}, **kwargs.get("context") or {})
        RUN.flows.append(flow)
        # The manifest holds the schedule; with Prefect's own, the script would wait for a tick and never end.
        state = original(self, values, False, runner_cls, executor=executor, **kwargs)
        if state is not None:
            read_prefect1_state(flow, state)
        return state

    module.Flow.run = run


def clock_defaults(flow):
    """What the script's only clock would pass. Several clocks may disagree: then the manifest has to say it."""
    clocks = getattr(getattr(flow, "schedule", None), "clocks", None) or []
    return dict(getattr(clocks[0], "parameter_defaults", None) or {}) if len(clocks) == 1 else {}


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
    path = prefect.config.engine.executor.default_class
    if str(path).rsplit(".", 1)[-1] != type(executor).__name__ and RUN.engine != "Dask":
        refuse("flow %r: executor class %s does not exist here, Prefect would run everything in the runner" % (flow_name, path))
    return executor


def check_executor(flow_name, executor):
    if RUN.engine == "Dask":
        return
    if not is_a(executor, "DaskExecutor"):
        refuse(
            "flow %r would run in the runner by %s; use DaskExecutor(), or leave flow.run() without an executor"
            % (flow_name, type(executor).__name__)
        )
    if not executor.address:
        refuse("flow %r has no Dask cluster to run on: DASK_SCHEDULER_ADDRESS is empty" % flow_name)


def hook_prefect1_executor(module):
    """DaskExecutor of either era: connects to the run's cluster, whatever address or cluster class the code carries."""
    original = module.DaskExecutor.__init__

    @functools.wraps(original)
    def __init__(self, address=None, cluster_class=None, cluster_kwargs=None, *args, **kwargs):
        if not RUN.address:
            original(self, address, cluster_class, cluster_kwargs, *args, **kwargs)
            return
        original(self, RUN.address, None, None, *args, **kwargs)
        if (address or RUN.address) != RUN.address or cluster_class or cluster_kwargs:
            note("DaskExecutor: the script names %s, the run's cluster is used" % (address or cluster_class or "a cluster"))
            # Certificates for another address are of no use; the run's own come from Dask's configuration.
            self.client_kwargs.pop("security", None)

    module.DaskExecutor.__init__ = __init__


def read_prefect1_state(flow, state):
    failed, held_back = [], 0
    results = state.result if isinstance(state.result, dict) else {}
    for task, task_state in results.items():
        if type(task).__name__ == "Constant":  # a value in the graph, never run
            continue
        runs = [(task.name, task_state)]
        runs += [("%s[%d]" % (task.name, i), child) for i, child in enumerate(getattr(task_state, "map_states", None) or [])]
        for name, run_state in runs:
            RUN.tasks[len(RUN.tasks)] = run_state.is_failed()
            if type(run_state).__name__ == "TriggerFailed":  # only a consequence: named last
                held_back += 1
            elif run_state.is_failed():
                failed.append("%s (%s)" % (name, describe(run_state.result) or run_state.message))
    if state.is_successful():
        return
    flow.error = state.result if isinstance(state.result, BaseException) else RuntimeError(state.message or str(state))
    if failed:
        causes = failed[:3] + ["%d more" % (len(failed) - 3)] * (len(failed) > 3)
        causes += ["%d that depend on them" % held_back] * bool(held_back)
        count = len(failed) + held_back
        flow.detail = "%d of %d tasks failed: %s" % (count, len(RUN.tasks), ", ".join(causes))


# --- Prefect 2 and 3 --------------------------------------------------------------------------------------------------


def hook_prefect2_flow(module):
    """prefect.flows: a flow that the script calls gets parameters and a client; how it ends is remembered.

    Flows inside a flow are part of it, so they are left alone here; `hook_prefect2_task` watches their tasks.
    """
    from prefect.context import FlowRunContext

    original = module.Flow.__call__

    @functools.wraps(original)
    def __call__(self, *args, **kwargs):
        if FlowRunContext.get() is not None:
            return original(self, *args, **kwargs)
        flow = types.SimpleNamespace(name=self.name, error=None, detail="")
        kwargs.update(parameters_for_call(self, args, kwargs))
        check_task_runner(self.name, self.task_runner)
        if RUN.name and getattr(self, "flow_run_name", "") is None:
            self.flow_run_name = RUN.name
        RUN.flows.append(flow)
        with watch_flow(flow):
            result = original(self, *args, **kwargs)
        if inspect.isawaitable(result):
            return finish_async(flow, result)
        read_prefect2_result(flow, result)
        return result

    async def finish_async(flow, pending):
        with watch_flow(flow):
            result = await pending
        read_prefect2_result(flow, result)
        return result

    module.Flow.__call__ = __call__


def parameters_for_call(flow, args, kwargs):
    declared = declared_parameters(flow)
    own = {name: value for name, value in kwargs.items() if name not in ("return_state", "wait_for")}
    try:
        explicit = inspect.signature(flow.fn).bind_partial(*args, **own).arguments
    except TypeError:  # the call itself is wrong: Prefect says it better
        return {}
    given = parameters_for(flow, declared, explicit)
    require(flow.name, declared, set(given) | set(explicit))
    return given


def check_task_runner(flow_name, task_runner):
    if RUN.engine == "Dask":
        return
    if not is_a(task_runner, "DaskTaskRunner"):
        refuse(
            "flow %r would run its tasks in the runner by %s; write @flow(task_runner=DaskTaskRunner())"
            % (flow_name, type(task_runner).__name__)
        )
    if not RUN.address:
        refuse("flow %r has no Dask cluster to run on: DASK_SCHEDULER_ADDRESS is empty" % flow_name)


@contextlib.contextmanager
def watch_flow(flow):
    """Around a flow: the settings and the client that its task runner finds. How it fails is remembered.

    DaskTaskRunner takes the process's current client if there is one, else it starts a cluster of its own.
    """
    from prefect.settings import PREFECT_API_URL, temporary_settings

    try:
        with contextlib.ExitStack() as stack:
            if RUN.address and not PREFECT_API_URL.value():
                start_prefect_api()
            if RUN.client is None and RUN.address:
                import distributed

                RUN.client = distributed.Client(RUN.address)
            if RUN.client is not None:
                stack.enter_context(RUN.client.as_current())
            if RUN.api is not None:
                stack.enter_context(temporary_settings({PREFECT_API_URL: wait_for_prefect_api()}))
            yield
    except BaseException as error:
        flow.error = error
        raise


def start_prefect_api():
    """Without an API, Prefect starts a temporary one in every process: here and in each worker.

    Those on the workers cost each of them ten seconds of a core before its first task, time out when cores are few, and
    meet in one database when workers share a disk. So there is one, here, listening where the workers can reach it: on
    the address from which this process reaches the scheduler. Prefect sends its place along with every task.
    """
    scheduler = scheduler_host_and_port()
    if RUN.api is not None or scheduler is None or importlib.util.find_spec("prefect.server") is None:
        return
    try:
        with socket.create_connection(scheduler, timeout=CONNECT_TIMEOUT_S) as probe:
            host, family = probe.getsockname()[0], probe.family
    except OSError:
        return  # the client will say it better
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.bind((host, 0))
    listener.listen(128)
    # The flags by which Prefect marks its own temporary servers: no web UI, none of the services for deployments.
    flags = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    command = [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"]
    command += ["--fd", str(listener.fileno()), "--log-level", "error", "--lifespan", "on"]
    RUN.api = subprocess.Popen(command, env=dict(os.environ, **flags), pass_fds=[listener.fileno()])
    RUN.api_url = "http://%s:%d/api" % ("[%s]" % host if ":" in host else host, listener.getsockname()[1])
    listener.close()


def wait_for_prefect_api():
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + API_START_S
    while time.monotonic() < deadline and RUN.api.poll() is None:
        with contextlib.suppress(OSError), opener.open(RUN.api_url + "/health", timeout=5):
            return RUN.api_url
        time.sleep(0.1)
    raise RuntimeError("Prefect's temporary API server did not start; set PREFECT_API_URL to one that runs")


def read_prefect2_result(flow, result):
    """Without return_state a failed flow has raised; with it, the failure is in the state that the call returns."""
    if is_a(result, "State") and not result.is_completed():
        data = result.data
        flow.error = data if isinstance(data, BaseException) else RuntimeError(result.message or str(result))


def hook_prefect2_task(module):
    """prefect.tasks: submit and map go to the flow's task runner, a plain call runs right here."""

    def watched(original):
        @functools.wraps(original)
        def start(self, *args, **kwargs):
            flow_run = FlowRunContext.get()
            if flow_run is not None:
                check_task_runner(flow_run.flow.name, flow_run.task_runner)
            return original(self, *args, **kwargs)

        return start

    def called(original):
        @functools.wraps(original)
        def __call__(self, *args, **kwargs):
            if FlowRunContext.get() is None:
                return original(self, *args, **kwargs)
            RUN.ran_here += 1
            key = "call-%d" % RUN.ran_here
            RUN.tasks[key] = True  # until it has returned
            result = original(self, *args, **kwargs)
            RUN.tasks[key] = is_a(result, "State") and not result.is_completed()
            return result

        return __call__

    if not hasattr(getattr(module, "Task", None), "submit"):  # Prefect 1 has a package of this name
        return
    from prefect.context import FlowRunContext

    module.Task.submit = watched(module.Task.submit)
    module.Task.map = watched(module.Task.map)
    module.Task.__call__ = called(module.Task.__call__)


def hook_dask_task_runner(module):
    """prefect_dask.task_runners: count what is submitted, and what failed as far as the flow looks at the results."""
    submit = module.DaskTaskRunner.submit

    @functools.wraps(submit)
    def counted_submit(self, *args, **kwargs):
        future = submit(self, *args, **kwargs)
        RUN.tasks[getattr(future, "task_run_id", len(RUN.tasks))] = False
        return future

    module.DaskTaskRunner.submit = counted_submit

    def watched(original):
        @functools.wraps(original)
        def look(self, *args, **kwargs):
            try:
                return original(self, *args, **kwargs)
            finally:
                state = getattr(self, "_final_state", None)
                if state is not None:
                    RUN.tasks[self.task_run_id] = not state.is_completed()

        return look

    future_class = getattr(module, "PrefectDaskFuture", None)  # Prefect 2 has none
    if future_class is not None:
        future_class.wait = watched(future_class.wait)
        future_class.result = watched(future_class.result)


# --- The verdict ------------------------------------------------------------------------------------------------------


def judge(error, script_globals):
    """(reason, exit code, message) from all that was seen. The first rule that applies wins."""
    failed = [flow for flow in RUN.flows if flow.error is not None]
    if RUN.signal:
        return "Terminated", 128 + RUN.signal, "stopped by %s" % signal.Signals(RUN.signal).name
    if RUN.refusal:
        return "RanOutsideCluster", 5, RUN.refusal
    if RUN.bad_parameters:
        return "ParameterError", 1, RUN.bad_parameters
    if failed:
        return judge_failed_flow(failed)
    if error is not None:
        reason = "ClusterUnreachable" if cluster_is_gone(error) else "ScriptError"
        return reason, 1, scheduler_hint(reason) + describe(error) + place_of(error)
    never_declared = set(RUN.parameters) - RUN.declared
    if RUN.flows and RUN.ran_here and not RUN.sent_to_dask and RUN.engine != "Dask":
        return "RanOutsideCluster", 5, (
            "all %d tasks ran in the runner: a task that is called runs where the flow is; use task.submit() or task.map()"
            % RUN.ran_here
        )
    if RUN.flows and never_declared:
        return "ParameterError", 1, unknown_parameters(never_declared)
    idle = sorted({v.name for v in script_globals.values() if is_prefect_flow(v)})
    if not RUN.flows and (RUN.engine == "Prefect" or (RUN.engine == "Auto" and idle)):
        what = "declares flow %s but runs none" % ", ".join(map(repr, idle)) if idle else "ran no Prefect flow"
        return "NoFlowRan", 4, "the script %s; call it at the end of the script, or set engine: Dask if that is meant" % what
    return "Succeeded", 0, ""


def judge_failed_flow(failed):
    error = failed[0].error
    if type(error).__name__.startswith("Parameter"):  # Prefect 2 and 3: the values did not pass validation
        return "ParameterError", 1, "flow %r: %s" % (failed[0].name, describe(error))
    reason = "ClusterUnreachable" if cluster_is_gone(error) else "FlowFailed"
    others = "; failed too: %s" % ", ".join(flow.name for flow in failed[1:]) if failed[1:] else ""
    what = failed[0].detail or (describe(error) + place_of(error))
    return reason, 3, "%sflow %r failed: %s%s" % (scheduler_hint(reason), failed[0].name, what, others)


def is_prefect_flow(value):
    return is_a(value, "Flow") and type(value).__module__.startswith("prefect")


def describe(error):
    if not isinstance(error, BaseException):
        return ""
    text = " ".join(str(error).split())
    return "%s: %s" % (type(error).__name__, text) if text else type(error).__name__


def place_of(error):
    """Where in the script, not in a library below it."""
    if isinstance(error, SyntaxError) and error.filename == RUN.script:
        return " (%s:%s)" % (os.path.basename(RUN.script), error.lineno)
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == RUN.script]
    return " (%s:%d)" % (os.path.basename(RUN.script), lines[-1]) if lines else ""


def place_in_script():
    lines = [frame.lineno for frame in traceback.extract_stack() if frame.filename == RUN.script]
    return " (%s:%d)" % (os.path.basename(RUN.script), lines[-1]) if lines else ""


def cluster_is_gone(error):
    """A connection error counts against the cluster only if its scheduler takes no connection now."""
    scheduler = scheduler_host_and_port()
    if scheduler is None or not (isinstance(error, OSError) or type(error).__name__ == "TimeoutError"):
        return False
    try:
        socket.create_connection(scheduler, timeout=CONNECT_TIMEOUT_S).close()
    except OSError:
        return True
    return False


def scheduler_host_and_port():
    place = re.match(r"(?:(?:tcp|tls)://)?\[?([^/]+?)\]?:(\d+)$", RUN.address)
    return (place.group(1), int(place.group(2))) if place else None


def scheduler_hint(reason):
    return "Dask scheduler %s does not answer: " % RUN.address if reason == "ClusterUnreachable" else ""


def report(reason, exit_code, message):
    """The result, once: as JSON for the operator and as one line for the log."""
    with VERDICT_LOCK:
        if RUN.exit_code is not None:
            return
        total, failed = len(RUN.tasks), sum(RUN.tasks.values())
        if not message and total:
            message = "%d of %d tasks succeeded" % (total - failed, total)
        message = "; ".join([message] * bool(message) + RUN.notes)
        result = {"reason": reason, "message": message, "exitCode": exit_code, "engine": engine_in_use()}
        result["flow"] = next((f.name for f in RUN.flows if f.error), RUN.flows[-1].name if RUN.flows else "")
        if total:
            result["tasks"] = {"total": total, "failed": failed}
        write_termination_message(result)
        print("daskflow: %s (exit %d)%s" % (reason, exit_code, ": " + message if message else ""), file=sys.stderr)
        RUN.exit_code = exit_code


def engine_in_use():
    name = "prefect" if RUN.flows else "distributed"
    if name not in sys.modules:
        return "Python %d.%d.%d" % sys.version_info[:3]
    label = "Prefect" if RUN.flows else "Dask"
    return ("%s %s" % (label, getattr(sys.modules[name], "__version__", ""))).strip()


def write_termination_message(result):
    default = "/dev/termination-log"
    path = os.environ.get("DASKFLOW_TERMINATION_LOG") or (default if os.path.exists(default) else "")
    if path:
        with contextlib.suppress(OSError), open(path, "wb") as log:
            log.write(encode_result(result))


def encode_result(result):
    """At most MESSAGE_BYTES_MAX of valid JSON: free text is cut until it fits, at a character."""
    result = dict(result, flow=result["flow"][:200])
    while True:
        data = json.dumps(result, ensure_ascii=False).encode("utf-8", "replace")
        over = len(data) - MESSAGE_BYTES_MAX
        if over <= 0:
            return data
        # A character is at least one byte, so this never cuts more than needed by much, and always ends.
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
            raise Terminated()

    def watch():
        while os.read(reading, 1) != bytes([signal.SIGTERM]):
            pass
        time.sleep(SIGTERM_GRACE_S)
        RUN.signal = RUN.signal or signal.SIGTERM
        report(*judge(None, {}))
        leave(RUN.exit_code)

    def forget_in_child():  # a forked child, such as a multiprocessing worker, must not end its parent
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    signal.signal(signal.SIGTERM, on_sigterm)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=forget_in_child)
    threading.Thread(target=watch, name="daskflow-sigterm", daemon=True).start()


def leave(code):
    """Flush and go. Flushing has a limit too: whoever reads our output may have stopped."""

    def flush():
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()

    flusher = threading.Thread(target=flush, daemon=True)
    flusher.start()
    flusher.join(0.3 if RUN.signal else LINGER_S)
    if RUN.api is not None:
        RUN.api.kill()
    os._exit(code)


def wait_for_the_scripts_own_threads():
    """As Python does at the end of a script: an answer of success must not cut off work that is still under way."""
    pools = sys.modules.get("concurrent.futures.thread")
    if pools is not None and hasattr(pools, "_python_exit"):
        pools._python_exit()  # lets thread pools finish what was submitted, then ends their threads
    for thread in threading.enumerate():
        if thread not in (threading.current_thread(), threading.main_thread()) and not thread.daemon:
            thread.join()


def run_exit_functions():
    """The script's own, and those of libraries, such as the one that stops Prefect 3's temporary server."""
    out_of_time = threading.Timer(LINGER_S, leave, [RUN.exit_code])
    out_of_time.daemon = True
    out_of_time.start()
    atexit._run_exitfuncs()


# --- Start ------------------------------------------------------------------------------------------------------------


def prepare_environment():
    address = os.environ.get("DASK_SCHEDULER_ADDRESS") or os.environ.get("PREFECT__ENGINE__EXECUTOR__DASK__ADDRESS") or ""
    RUN.address = address.strip()
    for name in ("DASK_SCHEDULER_ADDRESS", "PREFECT__ENGINE__EXECUTOR__DASK__ADDRESS"):
        os.environ.pop(name, None)  # an empty one would be taken for an address
        if RUN.address:
            os.environ[name] = RUN.address
    if os.environ.get("DASKFLOW_SCHEDULED_TIME"):
        os.environ.setdefault("PREFECT__CONTEXT__DATE", os.environ["DASKFLOW_SCHEDULED_TIME"])
    RUN.engine = os.environ.get("DASKFLOW_ENGINE") or "Auto"
    if RUN.engine not in ENGINES:
        raise ValueError("DASKFLOW_ENGINE is %r; it can be %s" % (RUN.engine, ", ".join(ENGINES)))
    RUN.parameters = read_parameters(os.environ.get("DASKFLOW_PARAMETERS"))
    if RUN.address.startswith("gateway://"):
        import dask_gateway  # noqa: F401  registers the scheme, which nothing else would do


def run_script(arguments):
    """SCRIPT as `__main__`, with argv and path as `python SCRIPT` would set them. Returns its globals."""
    if not arguments:
        raise ValueError("usage: python bootstrap.py SCRIPT [ARGUMENT]...")
    RUN.script = arguments[0]
    if not os.path.exists(RUN.script):
        raise FileNotFoundError("there is no script at %s in this image" % RUN.script)
    prepare_environment()
    sys.argv[:] = arguments
    # Python puts the script's directory first, links followed (files of a mounted ConfigMap are links).
    here = os.path.dirname(os.path.realpath(__file__))
    if sys.path and os.path.realpath(sys.path[0]) == here:
        sys.path[0] = os.path.dirname(os.path.realpath(RUN.script))
    sys.meta_path.insert(
        0,
        AfterImport(
            {
                "distributed.client": hook_dask_client,
                "distributed.deploy.local": hook_local_cluster,
                "prefect.core.flow": hook_prefect1_flow,
                "prefect.engine.executors.dask": hook_prefect1_executor,
                "prefect.executors.dask": hook_prefect1_executor,
                "prefect.flows": hook_prefect2_flow,
                "prefect.tasks": hook_prefect2_task,
                "prefect_dask.task_runners": hook_dask_task_runner,
            }
        ),
    )
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
    except (Refused, BadParameters) as expected:
        error = expected  # the closing line says it all, with the place in the script
    except BaseException as raised:
        error = raised
        show(raised)
    try:
        report(*judge(error, script_globals))
        run_exit_functions()
    except BaseException:  # a second signal, or a broken exit function: the verdict stands
        pass
    leave(RUN.exit_code if RUN.exit_code is not None else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
