"""What is known of the run. One per process, like the run itself."""

import contextlib
import os
import stat
import threading
import traceback
import types

# Everything learnt on the way. One per process, like the run itself.
RUN = types.SimpleNamespace(
    script="", folder="", address="", engine="Auto", parameters={}, name=os.environ.get("DASKFLOW_RUN", ""),
    flows=[],  # what ran: SimpleNamespace(name, error, detail), error None unless it failed
    declared=set(),  # parameter names that the flows which ran declare
    declared_elsewhere={},  # parameter names that none of them declares -> other flows that do
    reads_parameters=False,  # does the script speak of DASKFLOW_PARAMETERS itself
    tasks={},  # a key for each task run -> did it fail; None where that is not known
    submitted_by={},  # Prefect 3: a key for each task run -> the flow of the script that has submitted it
    waits_on={},  # Prefect 3: a key for each task run that the flow has not waited for -> what it waits for itself
    called=0,  # Prefect 2 and 3: tasks that were called, which run in the flow's own process
    sent_to_dask=False,  # did any graph leave this process for a scheduler
    kept_here=[],  # computations that the script or a library did in this process: who said so
    clients=[],  # what is not to be destroyed at the end
    client=None,  # the one that was opened for a script that makes none
    shared=True,  # do other runs use the cluster
    restarted_here=False, restarted=False,  # the cluster: by this script, by somebody else
    stuck="",  # tasks that no worker can run, as far as was seen
    size_left_out=False,  # does the script count on workers that it has asked for, and the manifest may not have
    waits_for="",  # the workers that it waits for now
    beside=set(),  # top-level modules that were found beside the script
    left_out=[],  # what waits for a schedule, or hands the flow to a server: done by the manifest here
    main=None,  # the script's module
    pid=os.getpid(), in_child=False,
    notes={},  # what the user should know although the run went on; a dict for its order
    stopped=None,  # (reason, exit code, message) of a Stop, even if the script swallowed it
    api=None, api_url="",  # for Prefect 2 and 3: see start_prefect_api
    signal=0, unwinding=False,  # the signal that ends the run; is the main thread on its way out because of it
    exit_code=None,  # set once the verdict is written
    grace_s=0.0,  # the pod's terminationGracePeriodSeconds; 0 where nobody says it
    message_file=os.devnull,
    log=-1,  # standard error, whatever the script does to its own
)
VERDICT_LOCK = threading.Lock()


class Stop(RuntimeError):
    """The run must not go on, for the reason in RUN.stopped."""


def log(text):
    """A line for the log. Not by sys.stderr, which the script may have closed or put elsewhere."""
    with contextlib.suppress(OSError):
        os.write(RUN.log, ((text if at_the_start_of_a_line() else "\n" + text) + "\n").encode("utf-8", "replace"))


def at_the_start_of_a_line():
    """Whether what was written last has ended its line. Only a file can say so, as where `daskflow local` keeps its logs."""
    with contextlib.suppress(OSError):  # it is empty, or cannot be read
        if stat.S_ISREG(os.fstat(RUN.log).st_mode):
            with open("/proc/self/fd/%d" % RUN.log, "rb") as written:
                written.seek(-1, os.SEEK_END)
                return written.read() == b"\n"
    return True


def note(text):
    """What the user should know although the run goes on. It is said once, in the log now and in the message."""
    if text not in RUN.notes:
        RUN.notes[text] = True
        log("daskflow: note: " + text)


def leave_out(text):
    """A note on something that a manifest does instead; alone it is no work."""
    RUN.left_out.append(text)
    note(text)


def refuse(message):
    stop("RanOutsideCluster", 5, message)


def stop(reason, exit_code, message):
    RUN.stopped = RUN.stopped or (reason, exit_code, message + place_in_script(traceback.extract_stack()))
    raise Stop(RUN.stopped[2])


def stop_for_good(reason, exit_code, message):
    """As stop, for what is called in a loop that may catch every error."""
    try:
        stop(reason, exit_code, message)
    except Stop:
        raise SystemExit(exit_code) from None


def place_in_script(frames):
    lines = [frame.lineno for frame in frames if frame.filename == RUN.script]  # not of a library below it
    return " (%s:%d)" % (os.path.basename(RUN.script), lines[-1]) if lines else ""
