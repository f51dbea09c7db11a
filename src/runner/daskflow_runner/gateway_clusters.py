"""What a script sees of the clusters of a Dask Gateway: the run's, under each name by which it has asked for one."""

import asyncio
import contextlib
import os
import threading
from collections import OrderedDict
from datetime import datetime

from .run import RUN, note

ANSWER_S = 30.0  # for a scheduler that has taken a connection; Dask bounds the connection itself


class Known:
    """A name, and since and until when the script had a cluster of it. No start: it was there before."""

    def __init__(self, started=None):
        self.started, self.stopped = started, None


class Clusters:
    """One that the script ends is ended for the script alone."""

    def __init__(self, module):
        self.module = module
        self.names = {name_of_the_runs(): Known()}
        self.is_taken = False
        self.report_class, self.security_class = report_class(module), security_class(module)

    def new(self):
        """The name of the cluster that a script has made. The first one has that of the run's."""
        first = name_of_the_runs()
        if not self.is_taken and not self.names[first].stopped:
            self.is_taken = True
            return first
        number = 2
        while "%s-%d" % (first, number) in self.names:
            number += 1
        name = "%s-%d" % (first, number)
        self.names[name] = Known(datetime.now())
        return name

    def stop(self, name):
        known = self.names.get(name)
        if known is not None and known.stopped is None:
            known.stopped = datetime.now()

    async def report(self, name):
        if name not in self.names:
            note("Gateway: the script names the cluster %s, the run's cluster is used" % name)
            self.names[name] = Known()
        return self.said(name, await identity())

    async def reports(self, status):
        states = self.module.ClusterStatus
        if status is None:
            status = (states.PENDING, states.RUNNING)
        elif isinstance(status, (str, states)):
            status = (status,)
        wanted = [states._create(one) for one in status]
        info = await identity()
        every = [self.said(name, info) for name in list(self.names)]
        return [one for one in every if one.status in wanted]

    def said(self, name, info):
        """What a gateway would say of it."""
        known, states = self.names[name], self.module.ClusterStatus
        started = known.started or datetime.fromtimestamp(info["started"])
        if known.stopped:
            return self.report_class(name, {}, states.STOPPED, None, None, started, known.stopped)
        security = self.security_class()
        files = {"tls_cert": security.tls_cert or None, "tls_key": security.tls_key or None}
        link = dashboard_link(info)
        report = self.report_class(name, {}, states.RUNNING, RUN.address, link, started, None, **files)
        report.given = security
        return report


def name_of_the_runs():
    host = host_of_the_runs()
    return host[len("daskgateway-"):] if host.startswith("daskgateway-") else host


def host_of_the_runs():
    return RUN.address.split("://")[-1].rsplit(":", 1)[0]


# --- What the scheduler says ------------------------------------------------------------------------------------------
async def identity():
    """Its workers, its services, and since when it runs."""
    scheduler = scheduler_comm()
    try:
        return await asyncio.wait_for(scheduler.identity(), ANSWER_S)
    except asyncio.TimeoutError as error:  # who waits for a cluster would take it for one that is not there yet
        raise OSError("the Dask scheduler %s does not answer" % RUN.address) from error
    finally:
        await scheduler.close_rpc()


def scheduler_comm():
    """Connections to the run's scheduler: each is opened when something is asked for."""
    from distributed.core import rpc
    from distributed.security import Security

    class SchedulerComm(rpc):
        async def close_rpc(self):
            closing = super().close_rpc()  # in older versions no coroutine
            if closing is not None:
                await closing

    return SchedulerComm(RUN.address, connection_args=Security().get_connection_args("client"))


def known_to_the_scheduler():
    """The same at once, also where an event loop runs in this thread, which then waits. Empty: it does not answer."""
    found = {}

    def ask():
        with contextlib.suppress(Exception):
            found.update(asyncio.run(identity()))

    thread = threading.Thread(target=ask, name="daskflow-identity", daemon=True)
    thread.start()
    thread.join()
    return found


def dashboard_link(info):
    """As a client has it. None where there is none, or where it is one of a user's session or of a host without address."""
    import dask.config
    from distributed.utils import format_dashboard_link

    port = info.get("services", {}).get("dashboard")
    if name_of_the_runs() != host_of_the_runs() and "{host}" in dask.config.get("distributed.dashboard.link", ""):
        return None
    try:
        return format_dashboard_link(host_of_the_runs(), port) if port else None
    except (KeyError, IndexError, ValueError):
        return None


# --- Classes of dask_gateway, with what the runner has ----------------------------------------------------------------
def report_class(module):
    class RunsReport(module.ClusterReport):
        """Of a cluster without TLS as well, it has what a client is given."""
        given = None
        security = property(lambda self: self.given)

    return RunsReport


def security_class(module):
    class RunsSecurity(module.GatewaySecurity):
        """What Dask's configuration says is what counts; here it is in the attributes of the class as well."""

        def __init__(self):
            super().__init__(text_of("distributed.comm.tls.client.key"), text_of("distributed.comm.tls.client.cert"))

        def get_connection_args(self, role):
            from distributed.security import Security

            return Security().get_connection_args(role)

        def __reduce__(self):
            """On a worker it is one of Dask's: dask_gateway need not be there."""
            from distributed.security import Security

            return Security, ()

    return RunsSecurity


def text_of(setting):
    """The text of a file that Dask's configuration names, or has as it is."""
    import dask.config

    said = dask.config.get(setting, None) or ""
    if not os.path.isfile(said):
        return said
    with open(said) as file:
        return file.read()


def any_options(module, defaults):
    """Options that may be called anything: what the cluster is like stands in the manifest."""
    class Field:
        def __init__(self, fields, name):
            self.fields, self.field, self.value = fields, name, None

        def get(self):
            return self.value

        def set(self, value):
            if self.fields.are_the_scripts:
                note("Gateway.cluster_options() is left out: the manifest has the cluster and its size")
            self.value, self.fields[self.field] = value, self

        def widget(self):
            return ()

    class Fields(OrderedDict):
        are_the_scripts = False

        def __missing__(self, name):
            if name.startswith("_"):
                raise KeyError(name)
            return Field(self, name)

    options, fields = module.Options(), Fields()
    object.__setattr__(options, "_fields", fields)
    options.update(defaults)
    fields.are_the_scripts = True
    return options
