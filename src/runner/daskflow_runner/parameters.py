"""Parameters of the manifest, for the flows that declare them."""

import contextlib
import gc
import inspect
import re

from .run import RUN, stop


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
