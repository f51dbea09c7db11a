"""Starts a script inside the user's image: `python bootstrap.py SCRIPT [ARGUMENT]...`

The work is done by the package beside this file. This file is one that every Python can read, so that one that is too
old is told so.
"""

from __future__ import print_function

import os
import sys

OLDEST = (3, 7)


def load():
    """The package's main function, with no trace of the package where a script would look for modules of its own.

    It is taken out of sys.modules as well: a script may have a module of the same name, and what Dask pickles of ours
    goes to the workers by value, as they do not have it.
    """
    here = os.path.dirname(os.path.realpath(__file__))
    sys.path.insert(0, here)
    try:
        from daskflow_runner.start import main
    finally:
        sys.path.remove(here)
        for name in [name for name in sys.modules if name.split(".")[0] == "daskflow_runner"]:
            del sys.modules[name]
    return main


def complain():
    """The verdict on a Python that is too old, in the words and the form of the others."""
    version = "%d.%d" % sys.version_info[:2]
    message = "this image has Python %s; the runner needs %d.%d or later" % ((version,) + OLDEST)
    path = os.environ.get("DASKFLOW_TERMINATION_LOG") or "/dev/termination-log"
    if os.path.exists(os.path.dirname(path)):
        try:
            with open(path, "w") as log:
                log.write('{"reason": "ScriptError", "message": "%s", "exitCode": 1}' % message)
        except (IOError, OSError):
            pass
    print("daskflow: ScriptError (exit 1): " + message, file=sys.stderr)
    return 1


if __name__ == "__main__":
    if sys.version_info < OLDEST:
        sys.exit(complain())
    load()(sys.argv[1:])
