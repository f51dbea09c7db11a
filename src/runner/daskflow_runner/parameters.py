"""Parameters of the manifest, for the flows that declare them."""

import contextlib
import gc
import inspect
import re
import sys

from .run import RUN, note, stop


def parameters_for(flow, explicit, defaults=()):
    """What to call this flow with besides what the script passes itself, which wins."""
    declared = declared_parameters(flow)
    RUN.declared.update(declared)
    given = {name: value for name, value in RUN.parameters.items() if name in declared}
    for name in sorted(set(given) & set(explicit)):
        note("parameter %r: the script passes a value of its own, which wins" % name)
    unknown = never_declared() and never_declared() - names_that_may_come(type(flow))
    if unknown:
        stop("ParameterError", 1, unknown_parameters(unknown))
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
        signature = list(inspect.signature(flow.fn).parameters.values())
        if is_bound(flow):
            del signature[0]
    except (AttributeError, TypeError, ValueError):
        return {}
    declared = {p.name: p.default is p.empty for p in signature if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    if any(p.kind is p.VAR_KEYWORD for p in signature):  # def flow(**anything): every given name is welcome
        declared = dict(dict.fromkeys(RUN.parameters, False), **declared)
    return declared


def is_bound(flow):
    """Is it a method of an object or a class, which Prefect passes as its first argument?"""
    return any(getattr(flow.fn, name, None) is not None for name in ("__prefect_self__", "__prefect_cls__"))


def never_declared():
    return set(RUN.parameters) - RUN.declared


def names_that_may_come(flow_class):
    """Names that the script may still ask for: those of flows that exist, any word of its text, all if it reads them.

    A misspelt parameter should stop the run before it works with a wrong value, but a file may build its flows one
    after the other, or read DASKFLOW_PARAMETERS itself. So a name fails at once only if nobody ever mentions it; one
    that has reached no flow at the end fails then.
    """
    for flow in [flow for flow in gc.get_objects() if issubclass(type(flow), flow_class)]:
        for name in never_declared() & set(declared_parameters(flow)):
            RUN.declared_elsewhere.setdefault(name, set()).add(flow.name)
    names = set(RUN.declared_elsewhere)
    texts = [RUN.script] + [getattr(sys.modules.get(name), "__file__", None) for name in list(RUN.beside)]
    for path in filter(None, texts):
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as text:
            names.update(re.findall(r"\w+", text.read()))
    RUN.reads_parameters = "DASKFLOW_PARAMETERS" in names
    return names | (set(RUN.parameters) if RUN.reads_parameters else set())


def unknown_parameters(names):
    known = ", ".join(sorted(RUN.declared)) or "none"
    return "no flow of this script declares parameter %s; declared: %s" % (quoted(names), known)


def unreached_parameters():
    """Words for the end: the run has worked without a value that it was given."""
    elsewhere = never_declared() & set(RUN.declared_elsewhere)
    if not elsewhere:
        return unknown_parameters(never_declared())
    others = quoted(set().union(*(RUN.declared_elsewhere[name] for name in elsewhere)))
    words = "parameter %s has reached no flow: flow %s declares it, and the script itself calls only %s"
    words += ", which the parameters of a run go to; declare it there, and pass it on"
    words %= (quoted(elsewhere), others, quoted({flow.name for flow in RUN.flows}))
    of_none = never_declared() - elsewhere
    return words + ("; " + unknown_parameters(of_none) if of_none else "")


def quoted(names):
    return ", ".join(repr(name) for name in sorted(names))
