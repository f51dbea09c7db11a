"""Takes the place of a Dask scheduler: Python runs this module before anything else. It answers as no scheduler does."""

import itertools
import os
import socket
import struct
import sys
import threading
import time


def framed(payload):
    return struct.pack("<QQQ", 16 + len(payload), 1, len(payload)) + payload


def crowd(letters):
    """A MessagePack map of workers of six bytes each, `{"aaaa": {}, "aaab": {}, ...}`: of so many letters, four in each."""
    names = itertools.product(range(60, 60 + letters), repeat=4)
    workers = b"".join(b"\xa4" + bytes(name) + b"\x80" for name in names)
    return b"\xdf" + struct.pack(">I", letters**4) + workers


HANDSHAKE = framed(b"\x83\xabcompression\xc0\xa6python\x93\x03\x0b\x07\xafpickle-protocol\x05")
IDENTITY = b"\x83\xa4type\xa9Scheduler\xa2id\xa1x\xa7workers"
ANSWERS = {
    # Ten million workers in 60 MiB: larger than is accepted.
    "large": lambda: framed(crowd(56)),
    # Two million in 13 MiB, which would take gigabytes once they are decoded.
    "many": lambda: framed(IDENTITY + crowd(38)),
    # A list within a list, fifteen million times.
    "deep": lambda: framed(b"\x91" * 15_000_000 + b"\xc0"),
    # A message that never ends.
    "slow": lambda: framed(b"\x91" * 15_000_000)[:10_000_000],
}


def serve(connection, answer):
    with connection:
        connection.sendall(HANDSHAKE)
        # The client's handshake and its request come at once or one after the other.
        while connection.recv(1 << 16):
            time.sleep(0.2)
            connection.sendall(answer)


def main():
    answer = ANSWERS[os.environ["HOSTILE"]]()
    listener = socket.create_server(("", 8786), family=socket.AF_INET)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection, answer), daemon=True).start()


if "distributed.cli.dask_scheduler" in sys.orig_argv:
    main()
