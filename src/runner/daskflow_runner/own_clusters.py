"""Clusters, schedulers and workers that a script would start for itself, here or anywhere else: refused by class."""

from .hooks import replace, replace_function
from .run import RUN, refuse

INSIDE = ("LocalCluster", "SpecCluster", "LocalCUDACluster", "Scheduler", "Worker", "Nanny")


def refuse_cluster(what, name):
    where = " inside the runner" if name in INSIDE else ""
    why = "Client() without arguments uses the run's" if RUN.address else "DASK_SCHEDULER_ADDRESS is empty"
    refuse("the script starts a Dask %s of its own (%s)%s; %s" % (what, name, where, why))


def hook_cluster(module):
    """distributed.deploy.cluster: the base of LocalCluster, of KubeCluster, and of nearly all others.

    Refused before the first line of any of them runs: some talk to their backend before they call their base.
    """
    def refuse_new(cls, *_args, **_kwargs):
        refuse_cluster("cluster", cls.__name__)

    module.Cluster.__new__ = staticmethod(refuse_new)


def hook_server(module):
    """distributed.scheduler, .worker, .nanny: the parts that a cluster is made of."""
    for name in ("Scheduler", "Worker", "Nanny"):
        cls = getattr(module, name, None)
        if cls is not None and cls.__module__ == module.__name__:
            refuse_init(cls, "scheduler" if name == "Scheduler" else "worker")


def refuse_init(cls, what="cluster"):
    @replace(cls, "__init__")
    def init(_original, self, *_args, **_kwargs):
        refuse_cluster(what, type(self).__name__)


def hook_yarn(module):
    refuse_init(module.YarnCluster)


def hook_mpi(module):
    @replace_function(module, "initialize")
    def initialize(_original, *_args, **_kwargs):
        refuse_cluster("cluster", "dask_mpi.initialize")


def refuse_method(cls, method, name):
    @replace(cls, method)
    def refused(_original, _self, *_args, **_kwargs):
        refuse_cluster("cluster", name)
