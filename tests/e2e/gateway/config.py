"""A Dask Gateway in one pod: its clusters are processes beside it, and all goes through its proxy."""

import os

from dask_gateway_server.options import Integer, Options

c = get_config()  # noqa: F821  of the loader of this file
c.DaskGateway.backend_class = "dask_gateway_server.backends.local.UnsafeLocalBackend"
c.DaskGateway.authenticator_class = "dask_gateway_server.auth.SimpleAuthenticator"
c.SimpleAuthenticator.password = os.environ["GATEWAY_PASSWORD"]
c.DaskGateway.address = "127.0.0.1:8001"
c.Proxy.address = ":8000"
c.UnsafeLocalBackend.api_url = "http://127.0.0.1:8000/api"
# A busy machine starts a scheduler slowly.
c.UnsafeLocalBackend.cluster_start_timeout = 180
c.UnsafeLocalBackend.worker_start_timeout = 180
c.UnsafeLocalBackend.cluster_heartbeat_period = 60
c.Backend.cluster_options = Options(
    Integer("worker_cores", default=1, min=1, max=4),
    handler=lambda options: {"worker_cores": options.worker_cores},
)
# Newer ones of Dask have no dask-scheduler. What the processes say is deleted with their cluster, unless it goes elsewhere.
c.ClusterConfig.scheduler_cmd = ["sh", "/etc/gateway/logged.sh", "dask", "scheduler"]
c.ClusterConfig.worker_cmd = ["sh", "/etc/gateway/logged.sh", "dask", "worker"]
