"""Starts processes that have imported Dask already: `fork.py`, then `child.py NAME MODULE-OR-FILE ARGUMENT…` for each.

To import Dask costs a second of a processor, and the tests start some hundred schedulers, workers and clients. Here it
is done once: this process says on standard output by which name it is reached, and forks for each `child.py` that asks.
The forked process has the standard files, the folder, the environment and the arguments of that `child.py`, which lives
as long as it does and ends as it ends.

All of them end when this process's standard input does, and a forked one as soon as its own does, or its `child.py`.
"""
import array
import contextlib
import gc
import os
import runpy
import selectors
import signal
import socket
import sys
import threading

import dask
import distributed.cli.dask_scheduler
import distributed.cli.dask_worker

MESSAGE_BYTES = 1 << 18
STANDARD_FILES = 3


def received(connection):
    """What a `child.py` sends: its standard files; and its folder, variables and arguments."""
    room = socket.CMSG_SPACE(STANDARD_FILES * array.array("i").itemsize)
    message, ancillary, _flags, _address = connection.recvmsg(MESSAGE_BYTES, room)
    files = array.array("i")
    for _level, _kind, data in ancillary:
        files.frombytes(data)
    parts = [part.split(b"\0") for part in message.split(b"\0\0", 2)]
    return list(files), parts[0][0], parts[1], parts[2]


class Server:
    """Knows which child.py waits for which process."""

    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind("")  # Linux finds a name
        self.listener.listen(100)
        self.ended, wakes = socket.socketpair()
        wakes.setblocking(False)
        self.wakes = wakes
        signal.signal(signal.SIGCHLD, lambda _signal, _frame: None)
        signal.set_wakeup_fd(wakes.fileno())
        for source in (0, self.listener, self.ended):
            self.selector.register(source, selectors.EVENT_READ)
        self.connections = {}
        print(self.listener.getsockname().hex(), flush=True)

    def serve(self):
        """Forks for whoever asks. Returns in the forked processes only."""
        while True:
            for key, _events in self.selector.select():
                if key.fileobj == 0:
                    for process in self.connections:
                        os.kill(process, signal.SIGKILL)
                    os._exit(0)
                elif key.fileobj is self.ended:
                    self.ended.recv(1000)
                    self.reap()
                elif key.fileobj is self.listener:
                    if self.fork():
                        return
                elif self.connections.get(key.data) is key.fileobj:  # else it was reaped just now
                    self.selector.unregister(key.fileobj)
                    os.kill(key.data, signal.SIGKILL)  # its child.py was killed; who has ended is a zombie until reaped

    def fork(self):
        connection, _address = self.listener.accept()
        try:
            files, folder, variables, arguments = received(connection)
        except (ConnectionError, IndexError):  # its child.py was killed before it said what it wants
            connection.close()
            return False
        process = os.fork()
        if process == 0:
            self.become(files, folder, variables, arguments)
            connection.close()
            return True
        for file in files:
            os.close(file)
        self.connections[process] = connection
        self.selector.register(connection, selectors.EVENT_READ, process)
        return False

    def become(self, files, folder, variables, arguments):
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for inherited in (self.selector, self.listener, self.ended, self.wakes, *self.connections.values()):
            inherited.close()
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(os.fsdecode(variable).split("=", 1) for variable in variables)
        sys.argv = [os.fsdecode(argument) for argument in arguments]

    def reap(self):
        while self.connections:
            process, status = os.waitpid(-1, os.WNOHANG)
            if process == 0:
                return
            connection = self.connections.pop(process)
            code = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
            if connection in self.selector.get_map():
                self.selector.unregister(connection)
                with contextlib.suppress(ConnectionError):  # its child.py was killed at the same moment
                    connection.send(bytes([code]))
            connection.close()


def follow_parent():
    while os.read(0, 1024):
        pass
    os._exit(111)


def main():
    assert threading.active_count() == 1, threading.enumerate()
    sys.path.pop(0)  # this folder
    gc.freeze()
    Server().serve()
    dask.config.refresh()
    if sys.argv[0].endswith(".py"):
        runpy.run_path(sys.argv[0], run_name="__main__")
        return
    threading.Thread(target=follow_parent, daemon=True).start()
    sys.modules.pop(sys.argv[0], None)
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
