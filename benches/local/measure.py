"""What `daskflow local` costs on this machine: measure.py --help

It runs with the Python that daskflow runs all with, which has Dask. Times are this program's own clock; memory and processor
time are those of /proc, so it needs Linux. Nothing but the process of daskflow counts, unless it is said.
"""

import argparse
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

# The first task says when it was run.
FIRST = """
import time
from distributed import Client
if __name__ == "__main__":
    with Client(%s) as client:
        print("first task at", client.submit(time.time).result(), flush=True)
"""
PEER = FIRST.replace("with Client", "from distributed import LocalCluster\n    with Client") % "LocalCluster(n_workers=2)"

CLUSTER = """
apiVersion: daskflow.dev/v1alpha1
kind: DaskCluster
metadata: {name: small}
spec: {image: any, workers: {replicas: %d}}
"""
FLOW = """---
apiVersion: daskflow.dev/v1alpha1
kind: Flow
metadata: {name: %s}
spec:
  cluster: {ref: {name: small}}
  command: ["true"]
  schedule: {clocks: [{name: clock, cron: "%s"}]}
"""
READY = re.compile(r"cluster small: ready")
ENDED = re.compile(r"run (f\d+)-\d{8}t(\d{4})\d\d: (\w+) after")
LIMIT_S = 600  # for whatever is waited for
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def say(*words):
    print(time.strftime("%T"), *words, file=sys.stderr, flush=True)


class Local:
    """daskflow local with a manifest, and its lines as they come."""

    def __init__(self, options, manifest):
        self.folder = tempfile.TemporaryDirectory(prefix="daskflow-bench-")
        path = os.path.join(self.folder.name, "flow.yaml")
        with open(path, "w") as file:
            file.write(manifest)
        command = [options.daskflow, "local", "--plain", "-f", path, "--python", sys.executable]
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=self.folder.name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.send_signal(signal.SIGINT)
        self.child.wait(60)
        self.folder.cleanup()

    def until(self, pattern):
        for line in self.child.stdout:
            if pattern.search(line):
                return
        raise RuntimeError("daskflow ended before it said " + pattern.pattern)

    def memory(self):
        """Resident memory now and at most, in MiB."""
        status = open("/proc/%d/status" % self.child.pid).read()
        return [int(re.search(field + r":\s+(\d+)", status).group(1)) / 1024 for field in ("VmRSS", "VmHWM")]

    def processor(self):
        """Seconds of the processor: its own, and those of processes that have ended and that it waited for."""
        fields = open("/proc/%d/stat" % self.child.pid).read().rpartition(")")[2].split()
        own, ended = sum(map(int, fields[11:13])), sum(map(int, fields[13:15]))
        return own / TICKS_PER_S, ended / TICKS_PER_S


def first_task(command, cwd):
    """Seconds from the start of a command to its first task, and to its end."""
    begun = time.time()
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=cwd, timeout=LIMIT_S, check=True)
    ended = time.time()
    found = re.search(r"first task at ([\d.]+)", ran.stdout)
    if not found:
        raise RuntimeError("no task was run:\n" + ran.stdout)
    return float(found.group(1)) - begun, ended - begun


def starts(options):
    """By turns, so that what else the machine does counts for both."""
    times = {"daskflow": [], "LocalCluster": [], "import": []}
    with tempfile.TemporaryDirectory(prefix="daskflow-bench-") as folder:
        for name, text in (("first.py", FIRST % ""), ("peer.py", PEER)):
            with open(os.path.join(folder, name), "w") as file:
                file.write(text)
        local = [options.daskflow, "local", "first.py", "--plain", "--python", sys.executable]
        for turn in range(options.rounds + 1):
            begun = time.time()
            subprocess.run([sys.executable, "-c", "import distributed"], check=True)
            found = {
                "import": (time.time() - begun, 0),
                "daskflow": first_task(local, folder),
                "LocalCluster": first_task([sys.executable, "peer.py"], folder),
            }
            say("start to first task and to the end, s:", found)
            # The first of all reads what the others find in memory.
            if turn > 0 or options.rounds == 0:
                for name, one in found.items():
                    times[name].append(one)
    for name, title in (
        ("daskflow", "`daskflow local SCRIPT.py`, two workers"),
        ("LocalCluster", "the same script with `LocalCluster(n_workers=2)`"),
        ("import", "`python -c 'import distributed'` alone"),
    ):
        first, end = zip(*times[name])
        row(title, spread(first), spread(end) if any(end) else "")


def rest(options):
    """A cluster of two workers, and a Flow whose next tick is far away."""
    with Local(options, CLUSTER % 2 + FLOW % ("f000", "0 0 29 2 *")) as local:
        local.until(READY)
        time.sleep(min(10, options.rest_s))
        before = local.processor()
        time.sleep(options.rest_s)
        own, ended = (now - then for now, then in zip(local.processor(), before))
        now, peak = local.memory()
    row("resident memory; at most, MiB", "%.1f; %.1f" % (now, peak))
    row("processor time at rest, of one core", "%.2f %%" % (100 * own / options.rest_s))
    row("that of the probes that it starts", "%.2f %%" % (100 * ended / options.rest_s))


def minutes(options):
    """Flows of the command `true`, each due in each minute; the minutes that count are whole ones."""
    flows = ["f%03d" % number for number in range(options.flows)]
    manifest = CLUSTER % 1 + "".join(FLOW % (flow, "* * * * *") for flow in flows)
    with Local(options, manifest) as local:
        local.until(READY)
        # The next minute but one, if the next is near.
        first = int((time.time() + 10) // 60 + 1) * 60
        last = first + 60 * (options.minutes - 1)
        wanted = {(flow, tick) for tick in range(first, last + 1, 60) for flow in flows}
        late, failed, doubled, seen = {}, [], 0, set()
        before = None
        for line in local.child.stdout:
            ended = ENDED.search(line)
            if not ended:
                continue
            flow, clock, phase = ended.groups()
            # The tick whose minute of the day this is: the one before, or now.
            now = time.time()
            tick = next(at for at in range(int(now // 60) * 60, 0, -60) if time.strftime("%H%M", time.gmtime(at)) == clock)
            if (flow, tick) not in wanted:
                continue
            before = before or local.processor()
            doubled += (flow, tick) in seen
            seen.add((flow, tick))
            late.setdefault(tick, []).append(now - tick)
            if phase != "Succeeded":
                failed.append(line.strip())
            if seen == wanted or now > last + 120:
                break
        own, _ = (now - then for now, then in zip(local.processor(), before))
        now, peak = local.memory()
    row("ticks; missed; doubled; failed", "%d; %d; %d; %d" % (len(wanted), len(wanted - seen), doubled, len(failed)))
    row("from the tick to the end of half of its runs; of all, s", "%s; %s" % (
        spread([statistics.median(ends) for ends in late.values()]), spread([max(ends) for ends in late.values()])))
    row("processor, ms a run (daskflow itself)", "%.0f" % (1000 * own / len(seen)))
    row("resident memory; at most, MiB", "%.1f; %.1f" % (now, peak))
    for line in failed[:5]:
        say(line)
    return seen == wanted and not doubled and not failed


def spread(values):
    return "%.2f (%.2f-%.2f)" % (statistics.median(values), min(values), max(values))


def row(*cells):
    print("| %s |" % " | ".join(cells), flush=True)


def head(*cells):
    print()
    row(*cells)
    row(*["---"] * len(cells))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--daskflow", required=True, type=os.path.abspath, help="the program")
    parser.add_argument("--rounds", type=int, default=5, help="starts to measure")
    parser.add_argument("--rest-s", type=int, default=120, help="seconds at rest")
    parser.add_argument("--flows", type=int, default=100)
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--small", action="store_true", help="all at its smallest, to see that it works")
    options = parser.parse_args()
    if options.small:
        options.rounds, options.rest_s, options.flows, options.minutes = 0, 1, 3, 1
    import distributed

    print("Python %s, Dask %s, load %.1f before" % (sys.version.split()[0], distributed.__version__, os.getloadavg()[0]))
    head("n=%d: median (least-most), s" % max(options.rounds, 1), "start to first task", "to the end")
    starts(options)
    head("at rest: two workers, %d s" % options.rest_s, "")
    rest(options)
    head("%d Flows of `true`, each minute, %d minutes" % (options.flows, options.minutes), "")
    is_well = minutes(options)
    print("\nload %.1f after" % os.getloadavg()[0])
    if not is_well:
        sys.exit("ticks were missed, or runs have failed")


if __name__ == "__main__":
    main()
