"""Prefect 2 and 3."""

import ast
import inspect
import textwrap
import types

from .executors import check_on_dask, forget_cluster_in_code
from .hooks import is_a, replace
from .parameters import is_bound, parameters_for
from .prefect_api import with_an_api
from .run import RUN, refuse

TASK_RUNNER_REMEDY = "write @flow(task_runner=DaskTaskRunner()), or set engine: Dask in the Flow if it is meant"

OUTSIDE_REMEDY = "write @flow(task_runner=DaskTaskRunner()) and submit it there"


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
        on_dask = is_a(self.task_runner, "DaskTaskRunner")
        if on_dask or not RUN.address or submits_its_tasks(self):
            check_on_dask(self.name, self.task_runner, "DaskTaskRunner", TASK_RUNNER_REMEDY)
        if RUN.name and getattr(self, "flow_run_name", "") is None:
            self.flow_run_name = RUN.name
        task_runner = "" if on_dask else type(self.task_runner).__name__
        flow = types.SimpleNamespace(name=self.name, error=None, detail="", task_runner=task_runner)
        RUN.flows.append(flow)
        with with_an_api(flow):
            result = original(self, *args, **kwargs)
        if inspect.isgenerator(result):
            return finish_generator(flow, result)
        if inspect.isasyncgen(result):
            return finish_async_generator(flow, result)
        if inspect.isawaitable(result):
            return finish_async(flow, result)
        read_prefect2_result(flow, result)
        return result

    # A flow that yields works only while the script takes from it.
    def finish_generator(flow, pending):
        with with_an_api(flow):
            return (yield from pending)

    async def finish_async_generator(flow, pending):
        with with_an_api(flow):
            async for value in pending:
                yield value

    async def finish_async(flow, pending):
        with with_an_api(flow):
            result = await pending
        read_prefect2_result(flow, result)
        return result


def submits_its_tasks(flow):
    """Does the flow's own code say TASK.submit or TASK.map? Then its task runner matters, and is judged before it starts.

    One that only calls other flows, or works with a client, needs none. What this does not see is judged at the submit.
    """
    try:
        known = dict(flow.fn.__globals__, **inspect.getclosurevars(flow.fn).nonlocals)
        tree = ast.parse(textwrap.dedent(inspect.getsource(flow.fn)))
    except (AttributeError, OSError, TypeError, ValueError, SyntaxError):
        return False
    sends = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in ("submit", "map")]
    return any(isinstance(node.value, ast.Name) and is_a(known.get(node.value.id), "Task") for node in sends)


def parameters_for_call(flow, args, kwargs):
    own = {name: value for name, value in kwargs.items() if name not in ("return_state", "wait_for")}
    try:
        itself = [None] if is_bound(flow) else []
        explicit = inspect.signature(flow.fn).bind_partial(*itself, *args, **own).arguments
    except TypeError:  # the call itself is wrong: Prefect says it better
        return {}
    return parameters_for(flow, set(explicit) | set(own))


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
        elif RUN.engine != "Dask":
            refuse("task %r is submitted outside of a flow, which runs it in the runner; %s" % (self.name, OUTSIDE_REMEDY))
        return original(self, *args, **kwargs)

    def delay(original, self, *args, **kwargs):
        refuse("task %r is left to somebody who serves it (task.delay), and nobody does; %s" % (self.name, OUTSIDE_REMEDY))

    def call(original, self, *args, **kwargs):
        RUN.called += 1
        key = "call %d" % RUN.called
        RUN.tasks[key] = True  # failed, until it has returned
        result = original(self, *args, **kwargs)
        RUN.tasks[key] = is_a(result, "State") and not result.is_completed()
        return result

    replace(module.Task, "submit")(start)
    replace(module.Task, "map")(start)
    replace(module.Task, "delay")(delay)
    replace(module.Task, "apply_async")(delay)
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
