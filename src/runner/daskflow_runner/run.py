"""What is known of the run. One per process, like the run itself."""

import os
import threading
import traceback
import types

# Everything learnt on the way. One per process, like the run itself.
RUN = types.SimpleNamespace(
    script="", address="", engine="Auto", parameters={}, name=os.environ.get("DASKFLOW_RUN", ""),
    flows=[],  # what ran: SimpleNamespace(name, error, detail), error None unless it failed
    declared=set(),  # parameter names that the flows which ran declare
    tasks={},  # a key for each task run -> did it fail
    called=0,  # Prefect 2 and 3: tasks that were called, which run in the flow's own process
    sent_to_dask=False,  # did any graph leave this process for a scheduler
    notes={},  # what the user should know although the run went on; a dict for its order
    stopped=None,  # (reason, exit code, message) of a Stop, even if the script swallowed it
    api=None, api_url="",  # for Prefect 2 and 3: see start_prefect_api
    signal=0, exit_code=None,  # the code is set once the verdict is written
)
VERDICT_LOCK = threading.Lock()


class Stop(RuntimeError):
    """The run must not go on, for the reason in RUN.stopped."""


def refuse(message):
    stop("RanOutsideCluster", 5, message)


def stop(reason, exit_code, message):
    RUN.stopped = RUN.stopped or (reason, exit_code, message + place_in_script(traceback.extract_stack()))
    raise Stop(RUN.stopped[2])


def place_in_script(frames):
    lines = [frame.lineno for frame in frames if frame.filename == RUN.script]  # not of a library below it
    return " (%s:%d)" % (os.path.basename(RUN.script), lines[-1]) if lines else ""
