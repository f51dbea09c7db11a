"""The API that Prefect 2 and 3 report to: one of the run's own, where none is given."""

import contextlib
import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.request

from .run import RUN
from .verdict import CONNECT_TIMEOUT_S, scheduler_host_and_port

API_START_S = 300.0  # Prefect's server imports for seconds, and for a minute beside busy neighbours


@contextlib.contextmanager
def with_an_api(flow):
    """Around a flow: the API that its tasks report to. How it fails is remembered."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    try:
        if RUN.address and RUN.api is None and not PREFECT_API_URL.value():
            start_prefect_api()
        with temporary_settings({PREFECT_API_URL: wait_for_prefect_api()} if RUN.api else {}):
            yield
    except GeneratorExit:  # the script takes no more of what the flow yields, which ends it well
        flow.engine = None
        raise
    except BaseException as error:
        flow.error, flow.engine = error, None
        raise


def start_prefect_api():
    """Without an API, Prefect starts a temporary one in every process: here and in each worker.

    Those on the workers cost each of them seconds of a core before its first task, time out when cores are few, and
    meet in one database when workers share a disk. So there is one, here, listening where the workers can reach it: on
    the address from which this process reaches the scheduler. Prefect sends its place along with every task.
    """
    scheduler = scheduler_host_and_port()
    if scheduler is None or importlib.util.find_spec("prefect.server") is None:
        return
    with socket.create_connection(scheduler, timeout=CONNECT_TIMEOUT_S) as probe:
        host, family = probe.getsockname()[0], probe.family
    # The flags by which Prefect marks its own temporary servers: no web UI, none of the services for deployments.
    flags = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    command = [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"]
    with socket.socket(family, socket.SOCK_STREAM) as listener:  # handed over open: nobody can take the port between
        listener.bind((host, 0))
        listener.listen(128)
        command += ["--fd", str(listener.fileno()), "--log-level", "error", "--lifespan", "on"]
        RUN.api = subprocess.Popen(command, env=dict(os.environ, **flags), pass_fds=[listener.fileno()])
        RUN.api_url = "http://%s:%d/api" % ("[%s]" % host if ":" in host else host, listener.getsockname()[1])


def wait_for_prefect_api():
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + API_START_S
    while time.monotonic() < deadline and RUN.api.poll() is None:
        with contextlib.suppress(OSError), opener.open(RUN.api_url + "/health", timeout=CONNECT_TIMEOUT_S):
            return RUN.api_url
        time.sleep(0.1)
    raise RuntimeError("Prefect's temporary API server did not start; set PREFECT_API_URL to one that runs")
