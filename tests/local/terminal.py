"""A terminal for one program, which knows nothing of it:

    terminal.py ROWS COLUMNS PROGRAM ARGUMENT...

What the program writes comes out of standard output. A line on standard input is `keys HEX`,
`size ROWS COLUMNS` or `signal NUMBER`. When the program has ended, a line on standard error has its exit code
and says whether the modes of the terminal are as they were before. Nothing more on standard input closes the
terminal.
"""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios


def resize(terminal, rows, columns):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", int(rows), int(columns), 0, 0))


def obey(line, master, child):
    order, *words = line.split()
    if order == "keys":
        os.write(master, bytes.fromhex(words[0]))
    elif order == "size":
        resize(master, *words)
    elif order == "signal":
        child.send_signal(int(words[0]))


def serve(master, child):
    """Passes on what comes, until the program has ended and all that it wrote has come."""
    orders = b""
    while True:
        ended = child.poll() is not None
        ready, _, _ = select.select([0, master], [], [], 0.05)
        if master in ready:
            os.write(1, os.read(master, 65536))
        elif ended:
            return
        if 0 in ready:
            read = os.read(0, 4096)
            if not read:
                os.close(master)
                return
            *lines, orders = (orders + read).split(b"\n")
            for line in lines:
                obey(line.decode(), master, child)


def main():
    rows, columns, *program = sys.argv[1:]
    master, slave = pty.openpty()
    resize(slave, rows, columns)
    before = termios.tcgetattr(slave)
    child = subprocess.Popen(
        program,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        # It is the terminal that the program's session is in.
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    serve(master, child)
    code = child.wait()
    modes = "same" if termios.tcgetattr(slave) == before else "changed"
    print("code", code, "modes", modes, file=sys.stderr, flush=True)


main()
