"""Plain Dask: what the script sends to the cluster, and what it would run here."""

from .hooks import replace
from .run import RUN, refuse


def hook_local_cluster(module):
    """distributed.deploy.local: the one way in which Dask itself starts a cluster inside this process."""
    @replace(module.LocalCluster, "__init__")
    def start_cluster(_original, self, *_args, **_kwargs):
        why = "Client() without arguments uses the run's" if RUN.address else "DASK_SCHEDULER_ADDRESS is empty"
        refuse("the script starts a Dask cluster of its own (%s) inside the runner; %s" % (type(self).__name__, why))


def hook_dask_client(module):
    """distributed.client: every submit, map, compute and persist sends its graph through this one method."""
    RUN.sent_to_dask = not hasattr(module.Client, "_graph_to_futures")  # where it is named differently: no evidence
    @replace(module.Client, "_graph_to_futures")
    def send(original, self, *args, **kwargs):
        RUN.sent_to_dask = True
        return original(self, *args, **kwargs)
