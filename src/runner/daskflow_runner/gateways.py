"""The client of Dask Gateway: a script that asks a gateway for a cluster is given the run's, which need not be a gateway's.

Its classes stay as they are. What is replaced is what asks the REST API of a gateway, one coroutine for each question, and
what looks for an address or a login: the runner has neither, and nothing here speaks to a gateway.
"""

import contextlib
import getpass
import os
import sys

from .gateway_clusters import Clusters, any_options, known_to_the_scheduler, scheduler_comm
from .hooks import in_event_loop, replace, replace_function
from .own_clusters import refuse_init, refuse_method
from .run import RUN, note, refuse
from .workers import leave_size_out

ASKED = "GatewayCluster: the script asks a Dask Gateway for a cluster, the run's cluster is used"
NO_ADDRESS = "http://gateway.invalid"  # for a script that names none; nothing is found there


def hook_auth(module):
    """dask_gateway.auth: these look for what a user's session has, before they are used for anything."""
    @replace(module.JupyterHubAuth, "__init__")
    def of_a_hub(original, self, api_token=None):
        original(self, os.environ.get("JUPYTERHUB_API_TOKEN", "") if api_token is None else api_token)

    @replace(module.BasicAuth, "__init__")
    def of_a_user(original, self, username=None, password=None):
        original(self, name_of_the_user() if username is None else username, password)


def name_of_the_user():
    """A container may run as a number that no user has."""
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):
        return ""


def hook_gateway(module):
    """dask_gateway.client."""
    if not RUN.address:
        refuse_init(module.GatewayCluster)
        for method in ("new_cluster", "submit", "connect"):
            refuse_method(module.Gateway, method, "Gateway.%s" % method)
        return
    no_login_is_looked_for(module)
    clusters = Clusters(module)
    answer_in_the_place_of_a_gateway(module, clusters)
    say_what_is_left_out(module.Gateway)
    stand_in_for_cluster(module.GatewayCluster)
    for owner in (module.Gateway, module.GatewayCluster):
        end_without_a_word(owner)


def no_login_is_looked_for(module):
    from dask_gateway.auth import GatewayAuth

    module.get_auth = lambda auth=None: auth if isinstance(auth, GatewayAuth) else GatewayAuth()

    @replace_function(module, "format_template")
    def format_template(original, text):
        try:
            return original(text)
        except (KeyError, IndexError, ValueError):  # it names a variable that a user's session has
            return text

    @replace(module.Gateway, "__init__")
    def init(original, self, address=None, *args, **kwargs):
        if address is None:
            address = module.format_template(sys.modules["dask.config"].get("gateway.address", None)) or NO_ADDRESS
            if "{" in address:  # even its port may be one of a user's session
                address = NO_ADDRESS
        original(self, address, *args, **kwargs)


def answer_in_the_place_of_a_gateway(module, clusters):
    """All that the client asks a gateway for, by the coroutines that all ways to the question go through."""
    def question(name):
        return replace(module.Gateway, name)

    @question("_request")
    async def request(_original, _self, method, url, *_args, **_kwargs):
        refuse("the script asks a Dask Gateway by %s %s, and the runner has no login there; leave it out" % (method, url))

    @question("_submit")
    async def submit(_original, _self, *_args, **_kwargs):
        note(ASKED)
        return clusters.new()

    @question("_cluster_report")
    async def report(_original, _self, cluster_name, *_args, **_kwargs):
        return await clusters.report(cluster_name)

    @question("_clusters")
    async def list_clusters(_original, _self, status=None, *_args, **_kwargs):
        return await clusters.reports(status)

    @question("_cluster_options")
    async def options(_original, self, use_local_defaults=True, **_kwargs):
        return any_options(module, self._config_cluster_options() if use_local_defaults else {})

    @question("_stop_cluster")
    async def stop(_original, _self, cluster_name, **_kwargs):
        clusters.stop(cluster_name)  # it ends with the run, or is others' as well

    @question("_scale_cluster")
    async def scale(_original, _self, *_args, **_kwargs):
        leave_size_out("cluster.scale")

    @question("_adapt_cluster")
    async def adapt(_original, _self, *_args, **_kwargs):
        leave_size_out("cluster.adapt")

    @question("_get_versions")
    async def versions(_original, _self, *_args, **_kwargs):
        note("Gateway.get_versions: no gateway is asked, so the version of its server is None")
        mine = getattr(sys.modules["dask_gateway"], "__version__", None)
        return {"server": {"version": None}, "client": {"version": mine}}


def say_what_is_left_out(gateway):
    @replace(gateway, "stop_cluster")
    def stop_cluster(original, self, *args, **kwargs):
        note("Gateway.stop_cluster() is left out: the cluster is the manifest's")
        return original(self, *args, **kwargs)


def stand_in_for_cluster(cluster):
    @replace(cluster, "_init_internal")  # all ways to one go through it
    def init(original, self, *args, **kwargs):
        note(ASKED)
        original(self, *args, **kwargs)

    @replace(cluster, "_init_internals")
    async def connect(_original, self):
        """The scheduler reports its workers on a connection for this, and has one: the next would take its place."""
        self.scheduler_comm = scheduler_comm()

    def scheduler_info(self):
        """Asked for when it is looked at, while the cluster is there."""
        if self.status == "running":
            self._known = known_to_the_scheduler() or self._known
        return self._known

    cluster._known = {}
    cluster.scheduler_info = property(scheduler_info, lambda self, _value: None)

    @replace(cluster, "shutdown")
    def shutdown(original, self, *args, **kwargs):
        note("cluster.shutdown() only closes the object: the cluster is the manifest's")
        return original(self, *args, **kwargs)


def end_without_a_word(owner):
    @replace(owner, "__del__")
    def delete(original, self):
        if in_event_loop():  # the collector comes at any time, and what closes it may wait for this very loop
            return
        with contextlib.suppress(Exception):  # its loop has ended with the run, which no destructor of it expects
            original(self)
