"""What a script does where there is no manifest: waits for a schedule, or hands its flow to a server.

Here the manifest has the schedule and the operator starts the runs. So what registers a flow, or serves it, is left out
with a note; a script that does nothing else has run nothing, which is the verdict. What would wait in a loop of its own
is ended at once.
"""

import functools

from .hooks import Nothing, is_a, nothing, replace, replace_function
from .run import RUN, leave_out, stop_for_good

NO_BACKEND = "there is no Prefect server that knows other flows; call the other flow in this script, or create a FlowRun of it"


# --- Prefect 2 and 3 --------------------------------------------------------------------------------------------------
def hook_prefect2_flow(module):
    """prefect.flows: methods of a flow, and functions for several."""
    for name in ("serve", "aserve", "deploy", "adeploy"):
        leave_out_method(module.Flow, name, "flow.%s()" % name, "call the flow")
        leave_out_function(module, name)


def hook_prefect2_task(module):
    for name in ("serve", "aserve"):
        if hasattr(getattr(module, "Task", None), "submit"):
            leave_out_method(module.Task, name, "task.%s()" % name, "call a flow that submits it")


def hook_prefect2_deployments(module):
    for name in ("serve", "deploy", "adeploy"):
        leave_out_function(module, name)
    for cls in ("Deployment", "RunnerDeployment"):
        for method in ("apply", "aapply"):
            leave_out_method(getattr(module, cls, None), method, "%s.%s()" % (cls, method), "call the flow")


def hook_prefect2_runner(module):
    leave_out_method(module.Runner, "start", "Runner.start()", "call the flow")


def hook_prefect2_run_deployment(module):
    """run_deployment of any module: needs a server with that deployment, which the run's own is not."""
    for name in ("run_deployment", "arun_deployment"):
        @replace_function(module, name)
        def run(original, *args, **kwargs):
            from prefect.settings import PREFECT_API_URL

            if RUN.api is not None or not PREFECT_API_URL.value():
                raise RuntimeError("run_deployment: " + NO_BACKEND)
            return original(*args, **kwargs)


def leave_out_method(cls, method, what, cure):
    @replace(cls, method)
    def left_out(_original, self, *_args, **_kwargs):
        leave_out(words(what, cure, getattr(self, "name", None) if is_a(self, "Flow") else None))
        return Nothing() if method.startswith("a") and method != "apply" else nothing()


def leave_out_function(module, name):
    @replace_function(module, name)
    def left_out(_original, *_args, **_kwargs):
        leave_out(words(name + "()", "call the flow"))
        return Nothing() if name.startswith("a") else nothing()


def words(what, cure, flow=None):
    cure = "call %s()" % flow.replace("-", "_") if flow and cure == "call the flow" else cure
    return "%s is left out, as the manifest has the schedule and starts the runs; %s" % (what, cure)


# --- Prefect 0.13 to 1.4 ----------------------------------------------------------------------------------------------
def hook_prefect1_flow(module):
    """prefect.core.flow: there is no backend to register with, and no agent to wait for."""
    for name in ("register", "deploy", "run_agent"):
        leave_out_method(module.Flow, name, "flow.%s()" % name, "call flow.run()")

    @replace(module.Flow, "run")
    def run(original, self, *args, **kwargs):
        starts = sorted({task.name for task in self.tasks if starts_flows(task)})
        if starts and not has_backend(module):
            raise RuntimeError("flow %r starts other flows (%s): %s" % (self.name, ", ".join(starts), NO_BACKEND))
        return original(self, *args, **kwargs)


def starts_flows(task):
    names = ("create_flow_run", "wait_for_flow_run", "get_task_run_result")
    return is_a(task, "StartFlowRun") or is_a(task, "RenameFlowRun") or getattr(task, "name", "") in names


def has_backend(module):
    """Is a server named? The default is the cloud, which answers nobody without a key."""
    config = module.prefect.config
    with_a_key = config.get("cloud", {}).get("api_key") or config.get("cloud", {}).get("auth_token")
    api = str(config.get("cloud", {}).get("api", ""))
    return bool(with_a_key) or "api.prefect.io" not in api and "localhost" not in api


def hook_prefect1_client(module):
    """prefect.client.client: what makes projects and flows known to a server, and what asks one for a run."""
    for name in ("create_project", "register"):
        leave_out_method(module.Client, name, "Client.%s()" % name, "call flow.run()")

    @replace(module.Client, "create_flow_run")
    def create_flow_run(original, self, *args, **kwargs):
        if not has_backend(module):
            raise RuntimeError("create_flow_run: " + NO_BACKEND)
        return original(self, *args, **kwargs)


def hook_prefect1_agent(module):
    @replace(module.Agent, "start")
    def start(_original, self, *_args, **_kwargs):
        wait_for_ever(type(self).__name__ + ".start()", "call flow.run()")


# --- Schedulers of other libraries ------------------------------------------------------------------------------------
def wait_for_ever(what, cure):
    text = "%s would wait for a schedule of its own for ever; leave the schedule to the manifest, and %s" % (what, cure)
    stop_for_good("NoFlowRan", 4, text)


def endless_method(class_name, method, module):
    if module.__name__.split(".")[0] in RUN.beside:
        return  # a module of the script's own that has this name

    @replace(getattr(module, class_name, None), method)
    def start(_original, _self, *_args, **_kwargs):
        wait_for_ever("%s.%s()" % (class_name, method), "call the function itself")


HOOKS = {
    "prefect.deployments.runner": hook_prefect2_deployments,
    "prefect.deployments.deployments": lambda m: [hook_prefect2_deployments(m), hook_prefect2_run_deployment(m)],
    "prefect.deployments.base": hook_prefect2_run_deployment,
    "prefect.deployments.flow_runs": hook_prefect2_run_deployment,
    "prefect.task_worker": lambda module: [leave_out_function(module, name) for name in ("serve", "aserve")],
    "prefect.runner.runner": hook_prefect2_runner,
    "prefect.client.client": hook_prefect1_client,
    "prefect.agent.agent": hook_prefect1_agent,
    "apscheduler.schedulers.blocking": functools.partial(endless_method, "BlockingScheduler", "start"),
    "apscheduler._schedulers.sync": functools.partial(endless_method, "Scheduler", "run_until_stopped"),
    "apscheduler._schedulers.async_": functools.partial(endless_method, "AsyncScheduler", "run_until_stopped"),
    "schedule": functools.partial(endless_method, "Scheduler", "run_pending"),
}
