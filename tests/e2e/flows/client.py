"""What every client's script begins with. It is called with the scheduler's address and arguments of its own.

The test says its word with a request over HTTP.
"""

import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer

from distributed import Client, get_worker

address, arguments = sys.argv[1], sys.argv[2:]
told = threading.Event()


class Ear(BaseHTTPRequestHandler):
    def do_GET(self):
        told.set()
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


threading.Thread(target=HTTPServer(("", 8080), Ear).serve_forever, daemon=True).start()


def until(what, is_so):
    """Waits; the test has the deadline."""
    while not is_so():
        time.sleep(0.1)
    print(what)


# The scheduler keeps what other clients' tasks have told.
starts_topic = "starts-" + str(uuid.uuid4())


def starts(client):
    """How often each task has begun, whatever became of it."""
    counts = {}
    for _, number in client.get_events(starts_topic):
        counts[number] = counts.get(number, 0) + 1
    return [counts[number] for number in sorted(counts)]
