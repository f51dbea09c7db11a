"""Says how the processes of a cluster are reached, and what they have of TLS: files with their modes."""

import json
import os
import stat

from distributed import Client


def files():
    """The files of the certificate that this process can read. One that it cannot read is an error."""
    folder, found = "/etc/daskflow/tls", {}
    if not os.path.isdir(folder):
        return found
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            with open(path) as file:
                assert "-----BEGIN " in file.read(), path
            found[name] = oct(stat.S_IMODE(os.stat(path).st_mode))[2:]
    return found


if __name__ == "__main__":
    with Client() as client:
        said = {
            "scheduler": client.scheduler.address,
            "workers": client.run(files),
            "schedulerFiles": client.run_on_scheduler(files),
            "runnerFiles": files(),
        }
    print("connection:", json.dumps(said))
