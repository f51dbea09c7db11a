"""Plain Dask: what the script computes goes to the run's cluster, whatever it says or leaves unsaid.

A script that says nothing (no client, no scheduler) is given a client where it first computes. One that names another
cluster gets the run's. One that says, by an argument or in the configuration, that it wants the work in its own process
is refused with the line to write; under engine Dask it decides for itself.
"""

import functools
import inspect
import sys
import threading
import weakref

from .beside import of_the_script
from .hooks import described, is_a, put_everywhere, replace, replace_function
from .resources import watch_resources
from .run import RUN, note, refuse
from .workers import leave_size_out

DISTRIBUTED = ("dask.distributed", "distributed")
SAID_BY_LIBRARY = {}  # values of the configuration's `scheduler` -> did only libraries set it
TO_WRITE = "write `client = Client()` and no scheduler=, or set engine: Dask in the Flow if it is meant"


# --- Where a computation runs -----------------------------------------------------------------------------------------
def hook_dask_base(module):
    """dask.base: compute, persist and all collections ask one function for the scheduler to use."""
    original = module.get_scheduler

    @functools.wraps(original)
    def get_scheduler(get=None, scheduler=None, collections=None, cls=None):
        said = scheduler if scheduler is not None else configured("scheduler")
        if said is None or isinstance(said, str) and said.lower() in DISTRIBUTED:
            if not get:
                open_client()
            return original(get, scheduler, collections, cls)
        chosen = original(get, scheduler, collections, cls)
        if is_a(getattr(chosen, "__self__", None), "Client"):
            return chosen
        if scheduler is not None:
            own = of_the_script(calling_frame())
        else:
            own = not SAID_BY_LIBRARY.get(str(said), False)
        return kept_here(chosen, said, own)

    module.get_scheduler = get_scheduler
    put_everywhere(original, get_scheduler)


def hook_dask_config(module):
    """dask.config: who set the scheduler, the script or a library for a computation of its own."""
    @replace(module.set, "__init__")
    def init(original, self, arg=None, *args, **kwargs):
        for given in (arg, kwargs):
            if isinstance(given, dict) and isinstance(given.get("scheduler"), str):
                value = given["scheduler"]
                by_library = not of_the_script(calling_frame())
                SAID_BY_LIBRARY[value] = by_library and SAID_BY_LIBRARY.get(value, True)
        return original(self, arg, *args, **kwargs)


def hook_local_scheduler(module):
    """dask.threaded, dask.multiprocessing, dask.local: where the script itself calls them with a graph of its own."""
    for name in ("get", "get_sync"):
        @replace_function(module, name)
        def get(original, *args, **kwargs):
            if of_the_script(sys._getframe(2)):  # its caller's, past the function that stands in
                return kept_here(original, "%s.%s" % (module.__name__, original.__name__), True)(*args, **kwargs)
            return original(*args, **kwargs)


def configured(name):
    return sys.modules["dask.config"].get(name, None)


def calling_frame():
    """The frame that asked Dask: the nearest that is neither Dask's nor ours."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] in ("dask", "daskflow_runner"):
        frame = frame.f_back
    return frame


def kept_here(get, said, own):
    """The scheduler that was asked for, which works in this process; judged when it is used."""
    @functools.wraps(getattr(get, "func", get))
    def compute(*args, **kwargs):
        what = "the script computes in the runner, by scheduler=%s" % described(said)
        if RUN.engine == "Dask":
            note(what)
        elif own:
            refuse("%s; %s" % (what, TO_WRITE))
        RUN.kept_here.append(what)
        return get(*args, **kwargs)

    return compute


def open_client():
    """A client for a script that has none: with one, Dask sends to the cluster what it would compute here."""
    if not RUN.address:
        refuse("the script computes in the runner: DASK_SCHEDULER_ADDRESS is empty")
    try:
        from distributed import Client, get_client
    except ImportError:
        refuse("the script computes in the runner, as the image has no `distributed`; put it into the image")
    try:
        get_client()
    except ValueError:
        note("the script computes without a Client, the run's cluster is used")
        RUN.client = Client()


# --- Clients ----------------------------------------------------------------------------------------------------------
def hook_dask_client(module):
    """distributed.client: every client is one of the run's cluster.

    Every submit, map, compute and persist sends its graph through one method, which is the evidence that work was sent.
    """
    known = inspect.signature(module.Client.__init__).parameters

    @replace(module.Client, "__init__")
    def init(original, self, address=None, *args, **kwargs):
        if RUN.address:
            takes = takes_the_runs(module, address, kwargs, known)
            # That of a gateway is the run's, and ends with the last of its clients.
            address = RUN.address if takes and not is_a(address, "GatewayCluster") else address
        original(self, address, *args, **kwargs)
        if RUN.address and getattr(self, "cluster", 0) is None and not self.asynchronous:
            self.cluster = TheRuns(self)
        watch_resources(self)

    RUN.sent_to_dask = not hasattr(module.Client, "_graph_to_futures")  # where it is named differently: no evidence

    @replace(module.Client, "_graph_to_futures")
    def send(original, self, *args, **kwargs):
        RUN.sent_to_dask = True
        return original(self, *args, **kwargs)

    @replace(module.Client, "_run")
    def run(original, self, *args, **kwargs):
        RUN.sent_to_dask = True
        return original(self, *args, **kwargs)


class TheRuns:
    """What a script finds as `client.cluster`, to look at, to scale or to close. It counts as none for Dask itself."""

    def __init__(self, client):
        self._client = weakref.ref(client)
        self._asked = threading.local()  # a client asks its cluster for a link, before it makes one

    def __getattr__(self, name):
        if name not in ("dashboard_link", "status", "loop", "wait_for_workers", "scheduler_info", "workers", "scheduler_address"):
            raise AttributeError("%r has no %r" % (self, name))
        client = self._client()
        if name == "dashboard_link":
            return self._link_of(client)
        if name in ("scheduler_info", "workers"):
            known = client.scheduler_info(**({"n_workers": -1} if takes_a_number(client.scheduler_info) else {}))
            return known["workers"] if name == "workers" else known
        return client.scheduler.address if name == "scheduler_address" else getattr(client, name)

    def _link_of(self, client):
        if getattr(self._asked, "now", False):
            raise AttributeError("dashboard_link")
        self._asked.now = True
        try:
            return client.dashboard_link
        finally:
            self._asked.now = False

    def get_client(self):
        return self._client()

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.close()

    def __bool__(self):
        return False

    def __repr__(self):
        return "the run's cluster at %s" % RUN.address

    def scale(self, *_args, **_kwargs):
        leave_size_out("client.cluster.scale")

    def adapt(self, *_args, **_kwargs):
        leave_size_out("client.cluster.adapt")

    def close(self, *_args, **_kwargs):
        note("client.cluster.close() is left out: the manifest has the cluster and its size")


def takes_a_number(function):
    """Newer ones show only a few workers, unless they are asked for all."""
    return "n_workers" in inspect.signature(function).parameters


def takes_the_runs(module, address, kwargs, known):
    """Takes out of the arguments what names another cluster or its size. False: the address is nobody's to change."""
    if is_a(address, "rpc") or is_a(address, "PooledRPCCall"):
        return False
    elsewhere = address or kwargs.pop("scheduler_file", None) or configured("scheduler-address")
    elsewhere = None if is_the_runs(getattr(elsewhere, "scheduler_address", elsewhere)) else elsewhere
    sizes = sorted(name for name in kwargs if name not in known)
    for name in sizes:
        del kwargs[name]
    if elsewhere:
        note("Client: the script names %s, the run's cluster is used" % described(elsewhere))
    if sizes:
        RUN.size_left_out = RUN.size_left_out or "n_workers" in sizes
        note("Client: %s left out, the run's cluster is used" % ", ".join(sizes))
    security = kwargs.get("security")
    of_a_gateway = is_a(security, "GatewaySecurity") and not is_a(security, "RunsSecurity") and not lacks_certificates()
    if of_a_gateway and not elsewhere:
        note("Client: the GatewaySecurity of the script is left out, the run's own certificates are used")
    if elsewhere or sizes or of_a_gateway or security is True:
        # Certificates for another address are of no use; the run's own come from Dask's configuration.
        kwargs.pop("security", None)
    return True


def lacks_certificates():
    """Is the run's cluster one with TLS for which the manifest brings no certificates? Then those of the script are all."""
    return RUN.address.startswith("tls://") and not configured("distributed.comm.tls.ca-file")


def is_the_runs(address):
    return not address or isinstance(address, str) and without_scheme(address) == without_scheme(RUN.address)


def without_scheme(address):
    return address.split("://")[-1].rstrip("/")
