"""Modules beside the script. The workers do not have them, so they go there by value, with what uses them.

What counts is the folder: the script's own, and each that the script itself adds to sys.path. cloudpickle has a register
of such modules; where Dask's first and faster attempt has named one by reference, the bytes are made again.
"""

import functools
import io
import os
import sys
import threading
from importlib.machinery import all_suffixes
from zipimport import zipimporter

from . import LOADED_BEFORE
from .hooks import put_everywhere
from .run import RUN

INSTALLED = ("site-packages", "dist-packages")
AT_THE_START = set()  # sys.path before the script; its folder is put there after that
CLOUDPICKLE = []  # the register, once cloudpickle is there


class ModulesBeside:
    """A finder for sys.meta_path that finds nothing itself: it remembers what will be found beside the script."""

    def __init__(self):
        AT_THE_START.update(os.path.realpath(folder) for folder in sys.path[1:])

    def find_spec(self, name, path=None, target=None):
        if path is None and name not in RUN.beside and is_beside(name):
            RUN.beside.add(name)
            for register in CLOUDPICKLE:
                register.add(name)
        return None


def is_beside(name):
    """Would `import name` take it from a folder of the script's?"""
    namespace = False  # a folder without __init__ gives way to every module of its name, wherever that is
    for folder in sys.path if name not in sys.builtin_module_names else ():
        place = os.path.join(folder or os.curdir, name)
        files = [place + suffix for suffix in all_suffixes()] + [os.path.join(place, "__init__.py")]
        if any(os.path.isfile(file) for file in files) or is_in_archive(folder, name):
            return is_scripts_folder(folder or os.curdir)
        namespace = namespace or os.path.isdir(place) and is_scripts_folder(folder or os.curdir)
    return namespace


def is_in_archive(path, name):
    """Is it in an archive of modules, as the script itself may be one?"""
    if not os.path.isfile(path):
        return False
    try:
        return zipimporter(path).get_code(name) is not None
    except ImportError:
        return False


def prefer_modules_beside():
    """What the runner has imported for itself is not there for a script that has a module of that name."""
    for name in [name for name in sys.modules if name not in LOADED_BEFORE]:
        if is_beside(name.split(".")[0]):
            del sys.modules[name]


def is_scripts_folder(folder):
    folder = os.path.realpath(folder)
    if any(part in INSTALLED for part in folder.split(os.sep)):
        return False
    return folder == RUN.folder or folder not in AT_THE_START


def of_the_script(frame):
    """Is this code of the script, or of a module beside it?"""
    if frame is None:
        return False
    name = frame.f_globals.get("__name__", "")
    return name == "__main__" or name.split(".")[0] in RUN.beside


def hook_cloudpickle(module):
    """cloudpickle.cloudpickle, from 2.0 on: what is in this set is pickled by value, submodules included."""
    register = getattr(module, "_PICKLE_BY_VALUE_MODULES", None)
    if register is not None:
        CLOUDPICKLE.append(register)
        register.update(RUN.beside)


def hook_dask_pickle(module):
    """distributed.protocol.pickle: tries pickle first, which names functions and classes by their module."""
    original = module.dumps
    module.cloudpickle = ForModulesBeside(module.cloudpickle)

    @functools.wraps(original)
    def dumps(x, *args, **kwargs):
        callback = kwargs.pop("buffer_callback", None)
        buffers = []
        if callback is not None:
            kwargs["buffer_callback"] = buffers.append
        data = original(x, *args, **kwargs)
        if CLOUDPICKLE and any(name.encode() in data for name in RUN.beside):
            data = by_value(module.cloudpickle, x, buffers, kwargs) or data
        for buffer in buffers:
            callback(buffer)
        return data

    module.dumps = dumps
    put_everywhere(original, dumps)


def by_value(cloudpickle, x, buffers, kwargs):
    """None where that fails: then the workers may still have the module."""
    mine, protocol = [], kwargs.get("protocol")
    more = {"buffer_callback": mine.append} if "buffer_callback" in kwargs and (protocol or 5) >= 5 else {}
    try:
        data = cloudpickle.dumps(x, protocol=protocol, **more)
    except Exception:
        return None
    buffers[:] = mine
    return data


# --- What modules hold at their top and nothing can pickle ------------------------------------------------------------
class ForModulesBeside:
    """cloudpickle, and what it cannot take of modules beside the script: locks, and functions with a cache.

    What stands in for them is made of classes that travel by value, and can be pickled again: the scheduler does so.
    """

    def __init__(self, cloudpickle):
        self.cloudpickle = cloudpickle

    def __getattr__(self, name):
        return getattr(self.cloudpickle, name)

    def dumps(self, x, protocol=None, **kwargs):
        base = self.cloudpickle.Pickler
        if not hasattr(base, "reducer_override"):  # Python 3.7
            return self.cloudpickle.dumps(x, protocol=protocol, **kwargs)

        class Pickler(base):
            def reducer_override(self, obj):
                reduced = stand_in(obj)
                return super().reducer_override(obj) if reduced is None else reduced

        file = io.BytesIO()
        Pickler(file, protocol=protocol, **kwargs).dump(x)
        return file.getvalue()


def stand_in(obj):
    """How to make it anew, as a worker would that imports the module; None for all else."""
    if isinstance(obj, LOCKS) and any(obj is value for value in top_level_values()):
        return Lock, (isinstance(obj, LOCKS[1]),)
    if isinstance(obj, CACHED) and (obj.__module__ or "").split(".")[0] in RUN.beside:
        return Cached, (obj.__wrapped__, obj.cache_info().maxsize)
    return None


def top_level_values():
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in RUN.beside:
            yield from list(vars(module).values())


LOCKS = (type(threading.Lock()), type(threading.RLock()))
CACHED = type(functools.lru_cache(maxsize=None)(len))


class Lock:
    """A lock of the process that it is in."""

    def __init__(self, reentrant):
        import threading

        self.reentrant = reentrant
        self.lock = threading.RLock() if reentrant else threading.Lock()

    def __reduce__(self):
        return type(self), (self.reentrant,)

    def __getattr__(self, name):
        if name == "lock":
            raise AttributeError(name)
        return getattr(self.lock, name)

    def __enter__(self):
        return self.lock.__enter__()

    def __exit__(self, *error):
        return self.lock.__exit__(*error)


class Cached:
    """A function with a cache of the process that it is in."""

    def __init__(self, function, maxsize):
        import functools

        self.__wrapped__, self.maxsize = function, maxsize
        self.cached = functools.lru_cache(maxsize=maxsize)(function)

    def __reduce__(self):
        return type(self), (self.__wrapped__, self.maxsize)

    def __call__(self, *args, **kwargs):
        return self.cached(*args, **kwargs)
