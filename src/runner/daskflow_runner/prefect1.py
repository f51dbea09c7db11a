"""Prefect 0.13 to 1.4."""

import contextlib
import importlib.util
import os
import sys
import types
import warnings

from .executors import check_on_dask, forget_cluster_in_code
from .hooks import replace
from .parameters import declared_parameters, parameters_for
from .run import RUN, refuse
from .verdict import describe


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
        flow = types.SimpleNamespace(name=self.name, error=None, detail="", task_runner="")
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


def hook_prefect1_executor(module):
    """DaskExecutor of either era: connects to the run's cluster, whatever address or cluster class the code carries."""
    @replace(module.DaskExecutor, "__init__")
    def init(original, self, address=None, cluster_class=None, cluster_kwargs=None, *args, **kwargs):
        if not RUN.address:
            return original(self, address, cluster_class, cluster_kwargs, *args, **kwargs)
        original(self, RUN.address, None, None, *args, **kwargs)
        forget_cluster_in_code(self, address or cluster_class or cluster_kwargs)


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
