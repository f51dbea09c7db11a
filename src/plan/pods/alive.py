"""Ends with 0 if whoever listens at the port answers anything at all, or nobody listens: alive.py PORT"""
import socket
import sys

try:
    stream = socket.create_connection(("localhost", int(sys.argv[1])), 5)
    stream.settimeout(20)
    stream.sendall(b"GET /health HTTP/1.0\r\n\r\n")
    stream.recv(1)
except socket.timeout:
    sys.exit("no answer in time")
except OSError:
    pass  # Refused or reset: it is not this that a hung process does.
