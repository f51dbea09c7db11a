"""What one script would do to a cluster that others use: left out, with a note. And what others did to it."""

from .hooks import is_a, replace
from .run import RUN, note


def hook_client_of_a_shared_cluster(module):
    """distributed.client: the methods that end or restart the cluster, or workers of it."""
    @replace(module.Client, "shutdown")
    def shutdown(_original, self, *_args, **_kwargs):
        note("client.shutdown() only closes the client: the cluster is the manifest's")
        cluster = getattr(self, "cluster", None)
        if not is_a(cluster, "GatewayCluster"):
            return self.close()
        if self.asynchronous:
            return close_both(self, cluster)
        self.close()
        return cluster.close()

    @replace(module.Client, "restart")
    def restart(original, self, *args, **kwargs):
        if RUN.shared:
            return left_out(self, "restart")
        RUN.restarted_here = True
        return original(self, *args, **kwargs)

    @replace(module.Client, "restart_workers")
    def restart_workers(original, self, workers, *args, **kwargs):
        if RUN.shared:
            return left_out(self, "restart_workers", dict.fromkeys(workers, "OK"))
        return original(self, workers, *args, **kwargs)

    @replace(module.Client, "retire_workers")
    def retire_workers(original, self, *args, **kwargs):
        return left_out(self, "retire_workers", {}) if RUN.shared else original(self, *args, **kwargs)

    @replace(module.Client, "_handle_restart")
    def on_restart(original, self, *args, **kwargs):
        RUN.restarted = RUN.restarted or not RUN.restarted_here
        return original(self, *args, **kwargs)


def left_out(client, name, result=None):
    note("client.%s() is left out: the cluster is shared with others" % name)
    if not client.asynchronous:
        return result

    async def done():
        return result

    return done()


async def close_both(client, cluster):
    await client.close()
    await cluster.close()
