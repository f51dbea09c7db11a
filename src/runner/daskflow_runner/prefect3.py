"""Prefect 2 and 3."""

import ast
import contextlib
import contextvars
import inspect
import textwrap
import types

from .executors import check_on_dask, forget_cluster_in_code
from .hooks import is_a, replace
from .parameters import is_bound, parameters_for
from .prefect_api import with_an_api
from .run import RUN, refuse
from .verdict import describe, place_of

CALLED = contextvars.ContextVar("the flow that the script has called", default=None)

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
        flow = types.SimpleNamespace(name=self.name, error=None, detail="", task_runner=task_runner, engine=None)
        RUN.flows.append(flow)
        with with_an_api(flow), called(flow):
            result = original(self, *args, **kwargs)
        if inspect.isgenerator(result):
            return finish_generator(flow, result)
        if inspect.isasyncgen(result):
            return finish_async_generator(flow, result)
        if inspect.isawaitable(result):
            return finish_async(flow, result)
        read_prefect2_result(flow, result)
        return result

    # A flow that yields works only while the script takes from it, and what it yields is taken in the script's context.
    def finish_generator(flow, pending):
        with with_an_api(flow):
            CALLED.set(flow)
            result = yield from pending
        read_prefect2_result(flow, result)
        return result

    async def finish_async_generator(flow, pending):
        with with_an_api(flow):
            CALLED.set(flow)
            async for value in pending:
                yield value
        read_prefect2_result(flow, None)

    async def finish_async(flow, pending):
        with with_an_api(flow), called(flow):
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


@contextlib.contextmanager
def called(flow):
    """Around the call of a flow: its engine asks for which one it works."""
    before = CALLED.set(flow)
    try:
        yield
    finally:
        CALLED.reset(before)


def hook_flow_engine(module):
    """prefect.flow_engine: the engine of a flow that the script calls is remembered, for the state that it ends in."""
    def set_state(original, self, *args, **kwargs):
        flow = CALLED.get()
        if flow is not None and flow.engine is None and getattr(self.flow_run, "parent_task_run_id", None) is None:
            flow.engine = self
        before = getattr(getattr(self.flow_run, "state", None), "name", "")
        if flow is not None and flow.engine is self and before == "AwaitingRetry":
            forget_unknown(flow)
        return original(self, *args, **kwargs)

    for name in ("FlowRunEngine", "AsyncFlowRunEngine"):
        if hasattr(module, name):  # Prefect 2 has none of them, the first releases of Prefect 3 have one for both
            replace(getattr(module, name), "set_state")(set_state)


def forget_unknown(flow):
    """Before a flow is tried again: its next try submits all of its tasks again, and the earlier ones are given up."""
    for one in [one for one, by in RUN.submitted_by.items() if by is flow and one in RUN.waits_on]:
        RUN.waits_on.pop(one)
        if RUN.tasks.get(one) is None:
            RUN.tasks.pop(one, None)


def read_prefect2_result(flow, result):
    """How the flow ended is the state that its engine has put it in.

    It raises where its own code did. One that returns several tasks of which some failed returns their states in peace,
    and has failed. Where there is no engine (Prefect 2), such a call raises, unless it was asked for the state.
    """
    state = getattr(flow.engine, "state", None) or (result if is_a(result, "State") else None)
    flow.engine = None  # it holds the parameters, which may be large
    if state is None or state.is_completed() or flow.error is not None:
        return
    words = state.message or str(state)
    parts = states_in(state) or ([] if is_a(result, "State") else states_among(result))
    error = first_error([state, *parts])
    flow.error = error if error is not None else RuntimeError(words)
    if error is not None and parts:
        flow.detail = "%s: %s%s" % (words.rstrip("."), describe(error), place_of(error))


def states_in(state):
    """The states of tasks that make up the state of a flow which returns them."""
    return states_among(getattr(state.data, "result", state.data))


def states_among(data):
    several = list(data) if isinstance(data, (list, tuple, set)) else [data]
    return [one for one in several if is_a(one, "State")]


def first_error(states):
    """What the first of them has failed with, or what makes it up; None where that is not known here."""
    for state in states:
        data = getattr(state.data, "result", state.data)
        error = data if isinstance(data, BaseException) else first_error(states_among(data))
        if error is not None and not state.is_completed():
            return error
    return None


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

    if not hasattr(module, "PrefectDaskFuture"):  # Prefect 2, which waits for every task at the end of its flow
        @replace(module.DaskTaskRunner, "submit")
        def submit_and_wait(original, self, *args, **kwargs):
            RUN.tasks[len(RUN.tasks)] = False
            return original(self, *args, **kwargs)

        return

    @replace(module.DaskTaskRunner, "submit")
    def submit(original, self, *args, **kwargs):
        future = original(self, *args, **kwargs)
        before = []
        def collect(part):
            if isinstance(part, module.PrefectDaskFuture):
                before.append(part.task_run_id)
        module.visit_collection([args[1:], kwargs], visit_fn=collect, return_data=False)
        submitted(future.task_run_id, before)
        return future

    def look(original, self, *args, **kwargs):
        try:
            return original(self, *args, **kwargs)
        finally:
            if self._final_state is not None:
                ended(self.task_run_id, self._final_state)
            elif self.wrapped_future.status in ("error", "lost", "cancelled"):
                RUN.tasks[self.task_run_id] = True  # by Dask, as where its worker dies time and again
                before_it_ended(self.task_run_id, None)

    def call_when_done(original, self, function):
        def looked_at(future):
            future.wait()
            function(future)
        return original(self, looked_at)

    def look_at_state(future):
        state = state_of_future(future)
        if state.is_final():
            ended(future.task_run_id, state)
        return state

    replace(module.PrefectDaskFuture, "wait")(look)
    replace(module.PrefectDaskFuture, "result")(look)
    replace(module.PrefectDaskFuture, "add_done_callback")(call_when_done)
    state_of_future = module.PrefectDaskFuture.state.fget
    module.PrefectDaskFuture.state = property(look_at_state)


def submitted(task_run_id, before):
    """A task is submitted, and how it ends is not known: a flow may end before its tasks, which are given up then."""
    RUN.tasks[task_run_id] = None
    RUN.waits_on[task_run_id] = before
    RUN.submitted_by[task_run_id] = CALLED.get()


def ended(task_run_id, state):
    """The flow has seen it end. So did all that it waited for, and well if it did well itself, or failed itself."""
    RUN.tasks[task_run_id] = not state.is_completed()
    # One that failed by itself ran, as what it waited for was good. Else it is not even begun: NotReady, or cancelled.
    before_it_ended(task_run_id, False if state.is_completed() or state.is_failed() else None)


def before_it_ended(task_run_id, failed):
    """What a task waited for has ended too, well or not, or nobody knows how."""
    upstream = RUN.waits_on.pop(task_run_id, [])
    while upstream:
        one = upstream.pop()
        upstream.extend(RUN.waits_on.pop(one, []))
        if RUN.tasks.get(one) is None:
            RUN.tasks[one] = failed
