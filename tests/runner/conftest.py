"""Fixtures: one cluster per engine for the whole session, one runner per test.

A test that takes an engine runs beside those of other engines, never beside one of its own; a test that takes none runs
beside any.
"""

import glob
import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from harness import Cluster, Runner, base_environment, stop, wait_until

# Made by run.sh: {"prefect-1.4.1": "/path/to/python", …}. An engine that is not in it was not asked for.
PYTHONS = json.loads(os.environ.get("DASKFLOW_RUNNER_PYTHONS", "{}"))
PREFECT_1 = ("prefect-0.13.19", "prefect-1.4.1")
PREFECT_3 = ("prefect-3.8.8",)
PLAIN_DASK = ("dask-2026.8.0",)
# What dask-gateway needs beside an engine.
GATEWAY_CLIENT = Path(__file__).resolve().parent / "requirements" / "dask-gateway.txt"
ALL = PREFECT_1 + PREFECT_3 + PLAIN_DASK


def pytest_configure(config):
    config.addinivalue_line("markers", "engines(*names): run on these engines, once each")


def pytest_generate_tests(metafunc):
    if "engine" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("engines")
        # Side by side, all tests of an engine go to one worker of pytest-xdist: they share its cluster, one after the other.
        engines = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in (marker.args if marker else ALL)]
        metafunc.parametrize("engine", engines, scope="session")


@pytest.fixture(scope="session")
def python(engine):
    if engine not in PYTHONS:
        pytest.skip("%s was not asked for; run.sh makes it" % engine)
    return PYTHONS[engine]


@pytest.fixture(scope="session")
def cluster(python, engine, tmp_path_factory):
    cluster = Cluster(python, tmp_path_factory.mktemp("cluster"))
    try:
        yield cluster.start()
    finally:
        cluster.stop()


@pytest.fixture
def runner(python, cluster, tmp_path):
    return Runner(python, tmp_path, cluster.address)


@pytest.fixture
def lone_runner(python, tmp_path):
    """A runner for what never reaches a cluster."""
    return Runner(python, tmp_path, "tcp://127.0.0.1:1")


@pytest.fixture(scope="session")
def prefect_api(python, engine, tmp_path_factory):
    """One Prefect 3 API server for many tests: each of its own would cost seconds."""
    directory = tmp_path_factory.mktemp("prefect-api")
    port = free_port()
    command = [python, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-services"]
    with open(directory / "log", "wb") as log:
        env = dict(base_environment(directory), PREFECT_UI_ENABLED="0")
        server = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_until(lambda: answers(port), "the Prefect API answers", (directory / "log").read_text)
        yield "http://127.0.0.1:%d/api" % port
    finally:
        stop(server)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port):
    try:
        with urllib.request.urlopen("http://127.0.0.1:%d/api/health" % port, timeout=5):
            return True
    except OSError:
        return False


@pytest.fixture(scope="session")
def gateway_client(tmp_path_factory):
    """A folder with the packages that dask-gateway needs beside an engine's: an image has them in one place.

    All engines have the Python of these tests (run.sh).
    """
    folder = tmp_path_factory.mktemp("dask-gateway")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target", folder]
    made = subprocess.run([*install, "-r", GATEWAY_CLIENT], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return str(folder)


@pytest.fixture
def with_client(runner, gateway_client):
    runner.extra_env["PYTHONPATH"] = gateway_client
    return runner


def python_of(version):
    """That Python, where it is installed."""
    places = [shutil.which("python" + version)]
    places += sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/%s.*/bin/python%s" % (version, version))))
    for place in filter(None, places):
        if subprocess.run([place, "-c", ""], capture_output=True).returncode == 0:
            return place
    return pytest.skip("no python%s on this machine" % version)


@pytest.fixture(params=["this Python", "oldest Python"])
def bare(request, tmp_path):
    """A runner without any library. The oldest Python that is promised is tried where it is installed."""
    return Runner(sys.executable if request.param == "this Python" else python_of("3.7"), tmp_path)


@pytest.fixture(params=["3.7", "3.8", "3.9", "3.11", "3.12", "3.13"])
def every_python(request, tmp_path):
    """For what differs between the releases of Python: how it waits for threads, pools and children."""
    return Runner(python_of(request.param), tmp_path)
