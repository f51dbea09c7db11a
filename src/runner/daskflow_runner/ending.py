"""Signals and the way out: what Python does at the end of a script, with bounds where a library may never end.

A run ends in `os._exit`: a Dask client that lost its scheduler can block the end of the interpreter for ever.
"""

import atexit
import contextlib
import functools
import gc
import io
import os
import signal
import sys
import threading
import time
import traceback
import types

from .run import RUN
from .verdict import is_prefect_flow, judge, report

SIGTERM_GRACE_S = 1.5  # for a main thread that is stuck, or where the pod's grace is not known
BEFORE_SIGKILL_S = 1.5  # this long before the end of the pod's grace the run is ended, so that it can say so
LINGER_S = 30.0  # for each exit function of Dask and Prefect: a client that cannot close hangs in one
BOUNDED = ("dask", "dask_gateway", "distributed", "prefect", "prefect_dask", "tornado")
EXIT = os._exit
STAYS = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type, str, bytes, int, float, complex, type(None))


# --- Signals ----------------------------------------------------------------------------------------------------------
def watch_for_sigterm():
    """Python as PID 1 ignores SIGTERM, and a handler waits while C code runs. So two things listen.

    The handler raises in the main thread: clean. A thread hears of the signal through the wake-up pipe, even while the
    main thread is stuck, and ends the process when the grace is over. A handler of the script takes the place of ours,
    and the thread hears of the signal all the same.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)

    def tell(signum):
        with contextlib.suppress(OSError):
            os.write(writing, bytes([signum]))  # again, in case a library took the wake-up pipe

    def on_sigterm(signum, _frame):
        tell(signum)
        if not RUN.unwinding and RUN.exit_code is None:
            RUN.signal = signum
            RUN.unwinding = True
            raise KeyboardInterrupt  # on which Prefect and Dask cancel what is pending

    def watch():
        while os.read(reading, 1) != bytes([signal.SIGTERM]):
            pass
        RUN.signal = RUN.signal or signal.SIGTERM
        give_grace(on_sigterm)
        threading.Timer(0.2, end, [143]).start()  # whoever reads our output may have stopped
        report(*judge(None))
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        end(RUN.exit_code)

    # A forked child, such as a multiprocessing worker, must not end its parent, by whose pipe it would be heard. A signal
    # that comes to it before it has forgotten the pipe waits.
    forking = threading.local()

    def hold_signals_up():
        forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])

    def let_signals_through():
        signal.pthread_sigmask(signal.SIG_SETMASK, forking.mask)

    def forget_in_child():
        RUN.in_child = True
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        let_signals_through()

    let_the_script_listen(on_sigterm, tell)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    os.register_at_fork(before=hold_signals_up, after_in_parent=let_signals_through, after_in_child=forget_in_child)
    threading.Thread(target=watch, name="daskflow-sigterm", daemon=True).start()


def give_grace(on_sigterm):
    """Returns when the run is to be ended, if it has not ended by itself."""
    given = RUN.grace_s
    began = time.monotonic()
    while time.monotonic() - began < (max(given - BEFORE_SIGKILL_S, given / 2) if given else SIGTERM_GRACE_S):
        stuck = not RUN.unwinding and RUN.handler is on_sigterm
        if stuck and time.monotonic() - began > SIGTERM_GRACE_S:
            return
        time.sleep(0.05)


def let_the_script_listen(on_sigterm, tell):
    """Makes ours the handler of SIGTERM, and signal.signal one that keeps the watching thread informed.

    The default action is ours as well: as PID 1 the process would otherwise not end at all.
    """
    real_signal, real_getsignal = signal.signal, signal.getsignal
    shown = {"handler": on_sigterm}
    RUN.handler = on_sigterm

    @functools.wraps(real_signal)
    def set_handler(signalnum, handler):
        if signalnum != signal.SIGTERM or RUN.in_child:
            return real_signal(signalnum, handler)
        installed = handler
        if handler is signal.SIG_DFL:
            installed = on_sigterm
        elif callable(handler) and handler is not on_sigterm:
            def installed(signum, frame):
                tell(signum)
                return handler(signum, frame)
        real_signal(signalnum, installed)
        before, shown["handler"] = shown["handler"], handler
        RUN.handler = installed
        return before

    @functools.wraps(real_getsignal)
    def get_handler(signalnum):
        ours = signalnum == signal.SIGTERM and not RUN.in_child
        return shown["handler"] if ours else real_getsignal(signalnum)

    real_signal(signal.SIGTERM, on_sigterm)
    signal.signal, signal.getsignal = set_handler, get_handler


# --- The way out ------------------------------------------------------------------------------------------------------
def bound_exit_functions():
    """From now on, exit functions that Dask and Prefect register have a limit of time; the script's own have none."""
    real_register, real_unregister = atexit.register, atexit.unregister
    bounded = []

    @functools.wraps(real_register)
    def register(function, *args, **kwargs):
        if module_of(function).split(".")[0] not in BOUNDED:
            return real_register(function, *args, **kwargs)
        bounded.append((function, functools.partial(run_bounded, function)))
        real_register(bounded[-1][1], *args, **kwargs)
        return function

    @functools.wraps(real_unregister)
    def unregister(function):
        for known, in_its_place in bounded:
            if known == function:
                real_unregister(in_its_place)
        real_unregister(function)

    atexit.register, atexit.unregister = register, unregister


def module_of(function):
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__module__", None) or type(getattr(function, "__self__", None)).__module__


def run_bounded(function, *args, **kwargs):
    if RUN.in_child:
        function(*args, **kwargs)
        return
    thread = threading.Thread(target=function, args=args, kwargs=kwargs, daemon=True)
    thread.start()
    thread.join(LINGER_S)


def catch_os_exit():
    """A script that leaves by os._exit has its verdict too. Its children leave as they like."""
    @functools.wraps(EXIT)
    def leave_now(status):
        if not RUN.in_child and os.getpid() == RUN.pid:
            status = status & 0xFF
            report(*judge(RuntimeError("the script ended by os._exit(%d)" % status) if status else None))
            end(RUN.exit_code)
        EXIT(status)

    os._exit = leave_now
    # It still goes to the workers as the function of this name: pickle looks where the function says that it is from.
    setattr(sys.modules[EXIT.__module__], "_exit", leave_now)


def finish_threads():
    """As Python does at the end of a script: pools finish what was submitted, and threads are waited for.

    An answer of success must not cut off work that is still under way.
    """
    threading._shutdown()


def run_exit_functions():
    """The script's own and those of libraries; child processes of `multiprocessing` are waited for by one of these."""
    with contextlib.suppress(Exception, SystemExit):  # a broken exit function: Python goes on too
        atexit._run_exitfuncs()
    flush()


def flush():
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def let_go(error):
    """What Python does last: destructors run, and files that were left open are written.

    Of what the script's modules hold, functions, classes and plain values stay, since destructors and threads that go on
    use them. So do Dask's clients, whose exit functions have had their time: the destructor of one may never end. Each
    value is asked for its type only, as it may stand for something else and fetch it.
    """
    RUN.clients = list(getattr(getattr(sys.modules.get("distributed.client"), "Client", None), "_instances", ()))
    if error is not None:
        traceback.clear_frames(error.__traceback__)
    write_what_is_open()  # once before: of a stream in a cycle, the lower part may be closed first
    for name, module in list(sys.modules.items()):
        if module is RUN.main or name.split(".")[0] in RUN.beside and isinstance(module, types.ModuleType):
            for attribute, value in list(vars(module).items()):
                if not attribute.startswith("__") and not issubclass(type(value), STAYS) and not is_prefect_flow(value):
                    vars(module)[attribute] = value = None
    gc.collect()
    write_what_is_open(close=True)
    flush()


def write_what_is_open(close=False):
    """Texts first, then what compresses or sends, then the buffers that both write to."""
    streams = [thing for thing in gc.get_objects() if issubclass(type(thing), io.IOBase.__mro__[1])]
    ours = ("_io", "io")
    for layer in (
        [stream for stream in streams if type(stream) is io.TextIOWrapper],
        [stream for stream in streams if type(stream).__module__ not in ours],
        [stream for stream in streams if type(stream).__module__ in ours],
    ):
        for stream in layer:
            with contextlib.suppress(Exception, SystemExit):
                stream.close() if close and type(stream).__module__ not in ours else stream.flush()


def end(code):
    if RUN.api is not None:
        RUN.api.kill()
    EXIT(code)
