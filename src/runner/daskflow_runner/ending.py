"""Signals and the way out."""

import atexit
import contextlib
import os
import signal
import sys
import threading
import time

from .run import RUN
from .verdict import judge, report

SIGTERM_GRACE_S = 1.5  # for Prefect and Dask to cancel what is pending; the promise is to be gone within 2 s
LINGER_S = 30.0  # for exit functions of the script and its libraries; a Dask client that cannot close hangs in one


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
            raise KeyboardInterrupt  # on which Prefect and Dask cancel what is pending

    def watch():
        while os.read(reading, 1) != bytes([signal.SIGTERM]):
            pass
        time.sleep(SIGTERM_GRACE_S)
        RUN.signal = RUN.signal or signal.SIGTERM
        threading.Timer(0.2, end, [143]).start()  # whoever reads our output may have stopped
        report(*judge(None, {}))
        sys.stdout.flush()
        end(RUN.exit_code)

    def forget_in_child():  # a forked child, such as a multiprocessing worker, must not end its parent
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    signal.signal(signal.SIGTERM, on_sigterm)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=forget_in_child)
    threading.Thread(target=watch, name="daskflow-sigterm", daemon=True).start()


def wait_for_the_scripts_own_threads():
    """As Python does at the end of a script: an answer of success must not cut off work that is still under way."""
    pools = sys.modules.get("concurrent.futures.thread")
    if hasattr(pools, "_python_exit"):
        pools._python_exit()  # lets thread pools finish what was submitted, then ends their threads
    for thread in threading.enumerate():
        if thread not in (threading.current_thread(), threading.main_thread()) and not thread.daemon:
            thread.join()


def leave(code):
    """Exit functions first, the script's own and those of libraries, but not for ever; then flush and go."""
    threading.Timer(LINGER_S, end, [code]).start()
    with contextlib.suppress(BaseException):  # a second signal, or a broken exit function: the verdict stands
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    end(code)


def end(code):
    if RUN.api is not None:
        RUN.api.kill()
    os._exit(code)
