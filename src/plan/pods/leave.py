"""Retires a Dask worker before its pod ends: leave.py SCHEDULER_ADDRESS WORKER_NAME TIMEOUT_S

What only this worker holds moves to others meanwhile. It speaks to the scheduler itself, because to import distributed
takes seconds of CPU. Whatever happens, it says so in one line of the container's log and exits with 0.
"""
import os
import socket
import ssl
import struct
import sys
import threading
import time

BYTES_MAX = 64 << 20
TLS = "DASK_DISTRIBUTED__COMM__TLS__"
begin, outcome = time.monotonic(), "not retired: no answer in time"
connected, ended = threading.Event(), threading.Event()


def connect(address):
    scheme, _, rest = address.partition("://")
    host, _, port = rest.rpartition(":")
    stream = socket.create_connection((host.strip("[]"), int(port)))
    if scheme == "tls":
        role = TLS + ("WORKER__" if os.environ.get(TLS + "WORKER__CERT") else "CLIENT__")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # Dask's certificates name no hosts. Who signed them is checked.
        context.load_verify_locations(os.environ[TLS + "CA_FILE"])
        context.load_cert_chain(os.environ[role + "CERT"], os.environ.get(role + "KEY"))
        stream = context.wrap_socket(stream)
    connected.set()
    return stream.makefile("rwb")


def send(stream, message):
    payload = msgpack.packb(message)
    stream.write(struct.pack("<QQQ", 16 + len(payload), 1, len(payload)) + payload)
    stream.flush()


def receive(stream):
    """One message. Its first frame says all; the others, within the block or behind it, hold nothing of use here."""
    head = stream.read(16)
    block, frames = struct.unpack("<QQ", head) if len(head) == 16 else sys.exit("the scheduler hung up")
    fits = 16 <= 8 * (1 + frames) <= block <= BYTES_MAX
    lengths = struct.unpack("<%dQ" % frames, stream.read(8 * frames)) if fits else ()
    if not 0 < sum(lengths) <= BYTES_MAX:
        sys.exit("the peer does not speak Dask's protocol")
    return msgpack.unpackb([stream.read(length) for length in lengths][0], strict_map_key=False, use_list=False)


def leave(address, name):
    global msgpack, outcome
    try:
        import msgpack
        stream = connect(address)
        send(stream, {"compression": None, "python": [3, 0, 0], "pickle-protocol": 4})
        receive(stream)
        send(stream, {"op": "retire_workers", "names": [name], "close_workers": False, "remove": True, "reply": True})
        answer = receive(stream) or sys.exit("not known, or what it holds has nowhere to go")
        if answer.get("status") == "uncaught-error":
            sys.exit(str(answer.get("exception_text") or answer.get("text"))[:500])
        outcome = "retired"
    except BaseException as error:
        outcome = "not retired: " + (str(error) or repr(error))
    connected.set()
    ended.set()


name, limit = sys.argv[2], float(sys.argv[3])
threading.Thread(target=leave, args=(sys.argv[1], name), daemon=True).start()
if connected.wait(min(3, limit)):  # Of a cluster that is deleted as a whole the scheduler has gone; do not linger.
    ended.wait(max(begin + limit - time.monotonic(), 0))
for target in "/proc/1/fd/1", "/proc/self/fd/1":
    try:
        os.write(os.open(target, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK), f"daskflow: {name} {outcome}\n".encode())
    except OSError:
        pass  # Not ours to write, or nobody reads it. The program of the container has the first, who called has the second.
os._exit(0)
