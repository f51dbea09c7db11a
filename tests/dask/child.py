"""Runs a module as `python -m` does, and ends with its parent: `child.py MODULE ARGUMENT…`.

The parent holds the other end of standard input. However it ends, that end closes, and so nothing is left
behind by a test that was killed.
"""
import os
import runpy
import sys
import threading


def follow_parent():
    while os.read(0, 1024):
        pass
    os._exit(111)


if __name__ == "__main__":
    threading.Thread(target=follow_parent, daemon=True).start()
    sys.path.pop(0)
    sys.argv.pop(0)
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
