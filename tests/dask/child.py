"""A process that fork.py has made: `child.py NAME MODULE-OR-FILE ARGUMENT…`, where NAME is what fork.py says.

Imports next to nothing, and lives as long as the forked process, which has its files and settings.
"""
import array
import os
import socket
import sys

connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
connection.connect(bytes.fromhex(sys.argv[1]))
variables = [name + b"=" + value for name, value in os.environb.items()]
arguments = [os.fsencode(argument) for argument in sys.argv[2:]]
message = b"\0\0".join([os.getcwdb(), b"\0".join(variables), b"\0".join(arguments)])
files = array.array("i", [0, 1, 2])
connection.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
for file in files:
    os.close(file)
code = connection.recv(1)
os._exit(code[0] if code else 112)
