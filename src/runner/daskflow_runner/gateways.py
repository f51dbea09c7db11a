"""The client of Dask Gateway: a script that asks a gateway for a cluster is given the run's, which need not be a gateway's.

Nothing here speaks to a gateway: the runner has neither its address nor a login.
"""

import weakref

from .hooks import nothing, replace
from .own_clusters import refuse_init, refuse_method
from .run import RUN, note, refuse


def hook_gateway(module):
    """dask_gateway.client."""
    if not RUN.address:
        refuse_init(module.GatewayCluster)
        for method in ("new_cluster", "submit", "connect"):
            refuse_method(module.Gateway, method, "Gateway.%s" % method)
        return
    stand_in_for_gateway(module)
    stand_in_for_cluster(module)


def stand_in_for_gateway(module):
    gateway = module.Gateway
    gateway.loop = None  # of its own connections, of which it has none

    @replace(gateway, "__init__")
    def init(_original, self, address=None, proxy_address=None, public_address=None, auth=None, asynchronous=False, loop=None):
        self.address = self.proxy_address = self._public_address = address or ""
        self.auth = self._session = None
        self._asynchronous = asynchronous

    @replace(gateway, "close")
    def close(_original, self):
        return nothing()

    @replace(gateway, "sync")
    def ask(_original, self, function, *_args, **_kwargs):
        name = "Gateway.%s" % function.__name__.strip("_")
        refuse("the script asks a Dask Gateway by %s, and the runner has no login there; leave it out" % name)

    def answer(name, value):
        """`new_cluster` and `connect` are left as they are: they make a GatewayCluster."""
        replace(gateway, name)(lambda _original, self, *_args, **_kwargs: Answer.of(self, value))

    def left_out(name):
        @replace(gateway, name)
        def leave_out(_original, self, *_args, **_kwargs):
            leave_size_out("Gateway.%s" % name)
            return nothing()

    answer("submit", name_of_the_runs())
    answer("get_cluster", report(module))
    answer("list_clusters", [report(module)])
    answer("cluster_options", any_options(module))
    for name in ("stop_cluster", "scale_cluster", "adapt_cluster"):
        left_out(name)


def stand_in_for_cluster(module):
    cluster = module.GatewayCluster

    @replace(cluster, "_init_internal")  # all ways to one go through it
    def init(_original, self, name=None, asynchronous=False, **_others):
        from distributed.security import Security

        note("GatewayCluster: the script asks a Dask Gateway for a cluster, the run's cluster is used")
        self.gateway = module.Gateway(asynchronous=asynchronous)
        self.name, self.status = name or name_of_the_runs(), "running"
        self.scheduler_address, self.dashboard_link = RUN.address, None
        self.security = Security()  # the run's own certificates are in Dask's configuration
        self.scheduler_info, self.shutdown_on_close = {}, False
        self._clients = weakref.WeakSet()

    @replace(cluster, "_start_internal")
    async def start(_original, self):
        return self

    @replace(cluster, "_stop_internal")
    async def stop(_original, self, shutdown=None):
        """It ends with the run, or is others' as well."""

    @replace(cluster, "close")
    def close(_original, self, shutdown=None):
        return nothing()

    @replace(cluster, "scale")
    def scale(_original, self, *_args, **_kwargs):
        leave_size_out("cluster.scale")
        return nothing()

    @replace(cluster, "adapt")
    def adapt(_original, self, *_args, **_kwargs):
        leave_size_out("cluster.adapt")
        return nothing()


def leave_size_out(name):
    note("%s() is left out: the manifest has the cluster and its size" % name)


def name_of_the_runs():
    host = RUN.address.split("://")[-1].rsplit(":", 1)[0]
    return host[len("daskgateway-"):] if host.startswith("daskgateway-") else host


def report(module):
    status = module.ClusterStatus.RUNNING
    return module.ClusterReport(name_of_the_runs(), {}, status, RUN.address, None, start_time=None, stop_time=None)


class Answer:
    """What a method of a gateway returns where the script may await it."""

    def __init__(self, value):
        self.value = value

    def __await__(self):
        return self.value
        yield

    @classmethod
    def of(cls, gateway, value):
        return cls(value) if gateway.asynchronous else value


def any_options(module):
    """Options that may be called anything: what the cluster is like stands in the manifest."""
    class AnyOptions(module.Options):
        def __init__(self):
            object.__setattr__(self, "_values", {})

        def _get(self, key, exc_cls):
            if key.startswith("__"):
                raise exc_cls(key)
            return self._values.get(key)

        def _set(self, key, value, exc_cls):
            leave_size_out("Gateway.cluster_options")
            self._values[key] = value

        def __iter__(self):
            return iter(self._values)

        def __len__(self):
            return len(self._values)

    return AnyOptions()
