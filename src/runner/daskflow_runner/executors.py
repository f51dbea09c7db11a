"""What Prefect runs its tasks by: the executors of Prefect 1, and the task runners of later ones."""

from .hooks import described, is_a
from .run import RUN, note, refuse


def check_on_dask(flow_name, runs_it, wanted, remedy):
    """The promise that is checked before any work starts. Engine Dask: the script sees to it by itself."""
    if RUN.engine == "Dask":
        return
    if not is_a(runs_it, wanted):
        refuse("flow %r would run its tasks in the runner, by %s; %s" % (flow_name, type(runs_it).__name__, remedy))
    if not RUN.address:
        refuse("flow %r has no Dask cluster to run on: DASK_SCHEDULER_ADDRESS is empty" % flow_name)


def forget_cluster_in_code(owner, named):
    if named and named != RUN.address:
        named = named if isinstance(named, dict) else described(named)  # of the words for a cluster's size, all
        note("%s: the script names %s, the run's cluster is used" % (type(owner).__name__, named))
        # Certificates for another address are of no use; the run's own come from Dask's configuration.
        owner.client_kwargs.pop("security", None)
