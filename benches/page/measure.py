"""What `daskflow ui` costs on this machine with 10,000 runs and many tabs: measure.py --help

The API server is this program: lists of any length at once, and watches with a change each second, which would take long to make on a
real one. Times are of one request after the other over loopback, until the first byte of the answer; memory is that of the process
of `daskflow ui`, by /proc, so it needs Linux.
"""

import argparse
import http.client
import http.server
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time

API = "daskflow.dev/v1alpha1"
EPOCH = 1_790_000_000
FLOWS = 200


def at(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(EPOCH + seconds))


def say(*words):
    print(time.strftime("%T"), *words, file=sys.stderr, flush=True)


def flow(number):
    return {
        "apiVersion": API, "kind": "Flow", "spec": {"cluster": {"ref": {"name": "small"}}},
        "metadata": {"name": "flow-%03d" % number, "namespace": "default", "creationTimestamp": at(0), "uid": "f%d" % number},
    }


def run(number, version="1", finished=40):
    """A run that has ended, each seventh with a message of 700 bytes."""
    failed = number % 7 == 0
    return {
        "apiVersion": API, "kind": "FlowRun", "spec": {"flow": "flow-%03d" % (number % FLOWS)},
        "metadata": {"name": "flow-%03d-%08d" % (number % FLOWS, number), "namespace": "default", "uid": "r%d" % number,
                     "creationTimestamp": at(60 * number), "resourceVersion": version},
        "status": {"phase": "Failed" if failed else "Succeeded", "reason": "FlowFailed" if failed else "FlowSucceeded",
                   "message": "the task could not read its file: " * 20 if failed else "",
                   "startedAt": at(60 * number), "finishedAt": at(60 * number + finished)},
    }


class Api(http.server.BaseHTTPRequestHandler):
    """Lists, and watches of runs with one change in each second."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # else head and body go by themselves, and the second waits for the answer to the first
    disable_nagle_algorithm = True
    runs = 0

    def do_GET(self):
        path, _, query = self.path.partition("?")
        plural = path.rsplit("/", 1)[-1]
        if "watch=" in query:
            self.watch(plural)
            return
        items = []
        if plural == "flows":
            items = [flow(number) for number in range(FLOWS)]
        elif plural == "flowruns":
            items = [run(number) for number in range(self.runs)]
        self.answer({"apiVersion": API, "kind": "List", "metadata": {"resourceVersion": "1"}, "items": items})

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {}, "status": {"allowed": True}})

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def watch(self, plural):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        second = 1
        try:
            while True:
                if plural == "flowruns":
                    line = json.dumps({"type": "MODIFIED", "object": run(self.runs - 1, str(second + 1), 40 + second)}).encode() + b"\n"
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                    self.wfile.flush()
                second += 1
                time.sleep(1)
        except OSError:
            self.close_connection = True

    def log_message(self, *_):
        pass


class Page:
    """`daskflow ui` with the cookie of its link."""

    def __init__(self, daskflow, api, folder):
        config = os.path.join(folder, "kubeconfig")
        with open(config, "w") as file:
            json.dump({"apiVersion": "v1", "kind": "Config", "current-context": "a",
                       "clusters": [{"name": "a", "cluster": {"server": "http://127.0.0.1:%d" % api}}],
                       "users": [{"name": "a", "user": {}}],
                       "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a", "namespace": "default"}}]}, file)
        command = [daskflow, "ui", "--port", "0", "--no-open", "--kubeconfig", config]
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        found = re.search(r"http://([^/]+)(/\S*)", self.child.stdout.readline())
        self.address, link = found.groups()
        self.cookie = ""
        answer, _ = self.get(link)
        self.cookie = answer.getheader("set-cookie").split(";")[0]

    def get(self, path):
        """The answer, and the seconds to its first byte."""
        connection = http.client.HTTPConnection(self.address, timeout=60)
        begun = time.monotonic()
        connection.request("GET", path, headers={"Cookie": self.cookie} if self.cookie else {})
        answer = connection.getresponse()
        taken = time.monotonic() - begun
        answer.body = answer.read()
        connection.close()
        return answer, taken

    def memory(self):
        """Resident memory now and at most, in MB."""
        status = open("/proc/%d/status" % self.child.pid).read()
        return [int(re.search(field + r":\s+(\d+)", status).group(1)) * 1024 / 1e6 for field in ("VmRSS", "VmHWM")]


class Tab(threading.Thread):
    """What a tab does: it asks for its page, and again whenever the stream of changes says so."""

    def __init__(self, page, path, until):
        super().__init__(daemon=True)
        self.page, self.path, self.until, self.loads = page, path, until, 0

    def run(self):
        while time.monotonic() < self.until:
            answer, _ = self.page.get(self.path)
            self.loads += answer.status == 200
            live = re.search(rb'data-live="([^"]+)"', answer.body)
            if not live:
                raise RuntimeError("%s has no stream of changes" % self.path)
            connection = http.client.HTTPConnection(self.page.address, timeout=60)
            connection.request("GET", live.group(1).decode().replace("&amp;", "&").replace("&#38;", "&"), headers={"Cookie": self.page.cookie})
            stream = connection.getresponse()
            while time.monotonic() < self.until:
                line = stream.readline()
                if not line or line.startswith(b"event: change"):
                    break
            connection.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--daskflow", required=True, type=os.path.abspath, help="the program")
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--tabs", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=100, help="requests for each page")
    parser.add_argument("--small", action="store_true", help="all at its smallest, to see that it works")
    options = parser.parse_args()
    if options.small:
        options.runs, options.rounds, options.tabs, options.minutes = 100, 1, 2, 0.05
    Api.runs = options.runs
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="daskflow-bench-") as folder:
        page = Page(options.daskflow, server.server_address[1], folder)
        try:
            measure(page, options)
        finally:
            page.child.terminate()
            page.child.wait(60)


def measure(page, options):
    begun = time.monotonic()
    answer, first = page.get("/")
    while b"Reading what there is in" in answer.body:
        time.sleep(0.05)
        answer, _ = page.get("/")
    print("%d runs, load %.1f before; first byte of the first page %.1f ms, all read after %.2f s\n" % (
        options.runs, os.getloadavg()[0], 1000 * first, time.monotonic() - begun))
    print("| n=%d, ms to the first byte | median (least-most) | KB |" % options.rounds)
    print("| --- | --- | --- |")
    newest = run(options.runs - 1)["metadata"]["name"]
    paths = ["/", "/runs", "/runs?page=%d" % (options.runs // 50), "/runs?state=failed", "/runs?q=%d" % (options.runs - 7),
             "/flows/default/flow-007", "/runs/default/" + newest, "/attention"]
    for path in paths:
        answers = [page.get(path) for _ in range(options.rounds)]
        if any(answer.status != 200 for answer, _ in answers):
            sys.exit("%s: %s" % (path, [answer.status for answer, _ in answers]))
        times = [1000 * taken for _, taken in answers]
        print("| `%s` | %.1f (%.1f-%.1f) | %.0f |" % (path, statistics.median(times), min(times), max(times), len(answers[0][0].body) / 1e3))
    print("\n%.1f MB before the tabs" % page.memory()[0], flush=True)
    until = time.monotonic() + 60 * options.minutes
    tabs = [Tab(page, paths[number % len(paths)], until) for number in range(options.tabs)]
    for tab in tabs:
        tab.start()
    for tab in tabs:
        tab.join()
    now, peak = page.memory()
    loads = sum(tab.loads for tab in tabs)
    print("%d tabs for %g minutes, a change each second: %d pages; %.1f MB at the end, %.1f at most" % (
        options.tabs, options.minutes, loads, now, peak))
    # The others show what does not change.
    if min(tab.loads for tab in tabs if tab.path in ("/", "/runs")) < 2:
        sys.exit("a tab was not kept up to date")


if __name__ == "__main__":
    main()
