"""Hooks: code that runs right after a module was imported, whoever imports it, and only then."""

import asyncio
import functools
import importlib.util
import sys
import types


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

    def catch_up(self):
        """Calls the hooks of what is there already: a sitecustomize may have imported it, or we for a gateway."""
        for name in [name for name in self.hooks if name in sys.modules]:
            self.hooks.pop(name)(sys.modules[name])


def put_everywhere(original, replacement):
    """In the place of a function also where other modules have taken it by name, which they do while they are imported."""
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in ("dask", "distributed", "prefect") and isinstance(module, types.ModuleType):
            for attribute, value in list(vars(module).items()):
                if value is original:
                    setattr(module, attribute, replacement)


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


def replace_function(module, name):
    """Decorator: the same for a function of a module."""
    def decorate(function):
        original = getattr(module, name, None)
        if original is None:
            return

        @functools.wraps(original)
        def replacement(*args, **kwargs):
            return function(original, *args, **kwargs)

        setattr(module, name, replacement)
        put_everywhere(original, replacement)
    return decorate


class Nothing:
    """What a call that is left out returns where the script may await it."""

    def __await__(self):
        return iter(())


def nothing():
    """None, or something to await where an event loop runs: many functions of Prefect are both."""
    return Nothing() if in_event_loop() else None


def in_event_loop():
    """Whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def described(thing):
    """A word for what the code names: a text as it is, a class or function by its name, an object by its class."""
    if isinstance(thing, str):
        return thing
    return getattr(thing, "__qualname__", None) or type(thing).__name__
