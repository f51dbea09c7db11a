"""The way to a scheduler behind a proxy that knows it by a name which no name server has.

The proxy of a Dask Gateway passes a TLS connection on by the name that the client asks for (SNI), and Dask asks for the
host of the scheduler's address. So that host is the name, and here it is given the addresses of the proxy: in this
process, and for this name alone.
"""

import functools
import os
import socket


def lead_to_proxy(address):
    """Lets the host of `address` be found at the host in DASKFLOW_SCHEDULER_PROXY, where there is one."""
    proxy = os.environ.get("DASKFLOW_SCHEDULER_PROXY", "").strip()
    if not proxy:
        return
    name = address.split("://")[-1].rsplit(":", 1)[0]
    original = socket.getaddrinfo

    @functools.wraps(original)
    def getaddrinfo(host, *args, **kwargs):
        asked = host.decode("ascii", "replace") if isinstance(host, bytes) else host
        return original(proxy if asked == name else host, *args, **kwargs)

    socket.getaddrinfo = getaddrinfo
