"""Real schedulers, real workers and the runner as a process, all on 127.0.0.1. No test logic in here."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import textwrap
import time
from pathlib import Path

BOOTSTRAP = Path(__file__).resolve().parents[2] / "src" / "runner" / "bootstrap.py"
SAMPLES = Path(__file__).resolve().parents[2] / "manifests" / "samples"
NO_ADDRESS = {"DASK_SCHEDULER_ADDRESS": "", "PREFECT__ENGINE__EXECUTOR__DASK__ADDRESS": ""}
START_S = 120  # of a scheduler, its workers or an API server on a busy machine
RUN_S = 120  # of one runner: far over what any of them needs, so that only a hang reaches it
SOON = 15  # seconds: half of the usual grace, which a run takes whole that does not hear of SIGTERM; it takes one or two


def base_environment(home):
    """What the operator sets in every pod, and nothing from the machine that runs the tests."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PREFECT_HOME": str(Path(home) / "prefect"),
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PYTZDATA_TZDATADIR": "/usr/share/zoneinfo",
        "PYTHONUNBUFFERED": "1",
        "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "10s",
    }


class Cluster:
    """One scheduler and its workers, as the operator starts them."""

    def __init__(self, python, directory, extra_env=(), protocol="tcp", workers=2, nanny=False):
        self.nanny = nanny
        self.python, self.directory, self.protocol, self.worker_count = python, Path(directory), protocol, workers
        self.env = dict(base_environment(directory), **dict(extra_env))
        self.processes = []
        self.address = None

    def start(self):
        place = self.directory / "scheduler.json"
        host = "%s://127.0.0.1" % self.protocol
        options = ["--host", host, "--port", "0", "--no-dashboard", "--scheduler-file", place]
        self.spawn("scheduler", "dask_scheduler", *options)
        wait_until(lambda: place.exists() and place.read_text().endswith("}"), "the scheduler is up", self.logs)
        self.address = json.loads(place.read_text())["address"]
        for number in range(self.worker_count):
            options = ["--nthreads", "4", "--no-dashboard", "--memory-limit", "0", "--host", host]
            options += ["--nanny" if self.nanny else "--no-nanny"]
            self.spawn("worker-%d" % number, "dask_worker", self.address, *options)
        wait_until(lambda: self.count("Registered to:") == self.worker_count, "workers registered", self.logs)
        return self

    def spawn(self, name, module, *arguments):
        command = [self.python, "-m", "distributed.cli." + module, *map(str, arguments)]
        (self.directory / name).mkdir()
        with open(self.directory / (name + ".log"), "wb") as log:
            self.processes.append(
                subprocess.Popen(
                    command,
                    env=self.env,
                    cwd=self.directory / name,
                    stdout=log,
                    stderr=log,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
            )

    def logs(self):
        return "\n".join(log.read_text(errors="replace") for log in sorted(self.directory.glob("worker-*.log")))

    def count(self, text):
        return self.logs().count(text)

    def task_runs(self):
        """Prefect 1 logs this line where a task runs. It is the proof of where the work was done."""
        return self.count("Starting task run")

    def stop(self):
        for process in self.processes:
            stop(process)


class Outcome:
    """How one runner ended."""

    def __init__(self, code, out, err, message_file, seconds):
        self.code, self.out, self.err, self.seconds = code, out, err, seconds
        raw = message_file.read_bytes() if message_file.exists() else b""
        assert len(raw) <= 4096
        self.report = json.loads(raw) if raw else {}
        self.reason, self.message = self.report.get("reason"), self.report.get("message", "")
        self.tasks = self.report.get("tasks")

    def __repr__(self):
        return "exit %s, %s\n--- stdout\n%s\n--- stderr\n%s" % (self.code, self.report, self.out, self.err)


class Runner:
    """Starts bootstrap.py in a fresh directory with the environment that the operator would give it."""

    def __init__(self, python, directory, address="", extra_env=()):
        self.python, self.directory, self.address = python, Path(directory), address
        self.extra_env = dict(extra_env)
        self.bootstrap = BOOTSTRAP

    def with_constant(self, module, name, value):
        """The same runner with another value of a constant, which no user can set and a test cannot wait for."""
        copy = shutil.copytree(BOOTSTRAP.parent, self.directory / "runner", dirs_exist_ok=True)
        text = (copy / "daskflow_runner" / module).read_text()
        changed = re.sub(r"(?m)^%s = \S+" % name, "%s = %s" % (name, value), text)
        assert changed != text, "no constant %s in %s" % (name, module)
        (copy / "daskflow_runner" / module).write_text(changed)
        self.bootstrap = copy / BOOTSTRAP.name
        return self

    def environment(self, env):
        wired = {
            "DASK_SCHEDULER_ADDRESS": self.address,
            "PREFECT__ENGINE__EXECUTOR__DASK__ADDRESS": self.address,
            "PREFECT__ENGINE__EXECUTOR__DEFAULT_CLASS": "prefect.executors.DaskExecutor",
            "PREFECT__FLOWS__RUN_ON_SCHEDULE": "false",
            "DASKFLOW_RUN": "example-20260101t000000",
            "DASKFLOW_TERMINATION_LOG": str(self.directory / "termination.json"),
        }
        merged = dict(base_environment(self.directory), **wired)
        merged.update(self.extra_env)
        merged.update(env)
        return {name: str(value) for name, value in merged.items() if value is not None}

    def write(self, source):
        if isinstance(source, Path):
            return source
        script = self.directory / "flow.py"
        script.write_text(textwrap.dedent(source))
        return script

    def start(self, source, arguments=(), prefix=(), **env):
        """A running process whose output goes to files, so that nothing can block on a pipe."""
        script = self.write(source)
        with open(self.directory / "out", "wb") as out, open(self.directory / "err", "wb") as err:
            process = subprocess.Popen(
                [*prefix, self.python, str(self.bootstrap), str(script), *arguments],
                env=self.environment(env),
                cwd=self.directory,
                stdout=out,
                stderr=err,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        process.started = time.monotonic()
        return process

    def finish(self, process):
        try:
            code = process.wait(RUN_S)
        except subprocess.TimeoutExpired:
            stop(process)
            log = (self.directory / "err").read_text(errors="replace")
            raise AssertionError("the runner hangs\n" + log) from None
        seconds = time.monotonic() - process.started
        with contextlib.suppress(ProcessLookupError):  # whatever it left behind
            os.killpg(process.pid, signal.SIGKILL)
        out, err = ((self.directory / name).read_text(errors="replace") for name in ("out", "err"))
        return Outcome(code, out, err, self.directory / "termination.json", seconds)

    def run(self, source, arguments=(), prefix=(), **env):
        return self.finish(self.start(source, arguments, prefix, **env))

    def output_contains(self, text):
        return text in (self.directory / "out").read_text(errors="replace")


def wait_until(condition, what, logs=lambda: "", limit_s=START_S):
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("waited %d s: %s\n%s" % (limit_s, what, logs()))
        time.sleep(0.05)


def stop(process):
    """The process that we started, and its group: it is the leader of a session of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
