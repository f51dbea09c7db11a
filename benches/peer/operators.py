"""The operators: how each is started, what it is asked for, and what it makes of that."""

import asyncio
import json
import os
import subprocess
import time

import aiohttp

PORT = 18080  # probes, of whichever runs
START_S = 120
CORE = {"pods": "/api/v1/namespaces/%s/pods", "services": "/api/v1/namespaces/%s/services"}


class Operator:
    """One of them, as a process of this machine with the rights of a service account."""

    def __init__(self, api, directory, image):
        self.api, self.directory, self.image, self.process = api, directory, image, None
        self.namespace = "bench-" + self.name
        self.user = "system:serviceaccount:%s:operator" % self.namespace
        self.path = "/apis/%s/namespaces/%s/daskclusters" % (self.group, self.namespace)

    async def prepare(self):
        """Its namespace, its rights, and a kubeconfig for it."""
        account = {"kind": "ServiceAccount", "name": "operator", "namespace": self.namespace}
        await self.api.ensure("/api/v1/namespaces", {"metadata": {"name": self.namespace}})
        accounts = "/api/v1/namespaces/%s/serviceaccounts" % self.namespace
        await self.api.ensure(accounts, {"metadata": {"name": "operator"}})
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
        binding = {"metadata": {"name": self.namespace}, "roleRef": role, "subjects": [account]}
        await self.api.ensure("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
        request = {"spec": {"expirationSeconds": 24 * 3600}}
        token = (await self.api.call("POST", accounts + "/operator/token", request))["status"]["token"]
        while not any(each["metadata"]["name"] == "default" for each in await self.api.items(accounts)):
            await asyncio.sleep(0.1)  # no pod is let in before
        where = {"server": self.api.server, "certificate-authority-data": self.api.authority}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": where}],
            "users": [{"name": "u", "user": {"token": token}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        self.kubeconfig = os.path.join(self.directory, self.name + ".kubeconfig")
        with open(self.kubeconfig, "w") as file:
            json.dump(config, file)

    async def start(self, resolv_conf):
        """Starts it, with the cluster's name service as in a pod, and waits until it says that it is ready."""
        environment = {"PATH": os.environ["PATH"], "HOME": self.directory, "KUBECONFIG": self.kubeconfig}
        inside = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
        command = ["unshare", "--mount", "sh", "-c", inside, resolv_conf, *self.command()]
        log = open(os.path.join(self.directory, self.name + ".log"), "ab")
        self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        log.close()
        end = time.monotonic() + START_S
        async with aiohttp.ClientSession() as session:
            while not await self.is_ready(session):
                if self.process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError("%s does not start: see %s.log in %s" % (self.title, self.name, self.directory))
                await asyncio.sleep(0.2)
        await asyncio.sleep(3)  # the watches of kopf open after it says so

    async def is_ready(self, session):
        try:
            async with session.get("http://127.0.0.1:%d%s" % (PORT, self.probe)) as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    def stop(self):
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def cpu(self):
        """Processor seconds so far."""
        with open("/proc/%d/stat" % self.process.pid) as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self):
        """MiB that it holds now, and the most it ever held."""
        with open("/proc/%d/status" % self.process.pid) as file:
            values = dict(line.split(":", 1) for line in file)
        return tuple(round(int(values[key].split()[0]) / 1024, 1) for key in ("VmRSS", "VmHWM"))

    async def create(self, name, workers):
        """A cluster. workers: how many, or None for an autoscaled one at its least, nought."""
        raise NotImplementedError


class OfThisProject(Operator):
    """A process of this project's: its workers are pods, whoever's objects it serves."""

    probe = "/readyz"
    resources = CORE
    flags = ()
    # What the children of one cluster are: resource, component, how many with so many workers.
    children = [
        ("services", "scheduler", lambda workers: 1),
        ("pods", "scheduler", lambda workers: 1),
        ("pods", "worker", lambda workers: workers),
    ]
    workers_are = ("pods", "worker")

    def __init__(self, api, directory, image, program):
        super().__init__(api, directory, image)
        self.program = program

    def command(self):
        return [self.program, "operator", *self.flags, "--listen", "127.0.0.1:%d" % PORT]


class Daskflow(OfThisProject):
    """With its own objects."""

    name, title, group = "ours", "daskflow", "daskflow.dev/v1alpha1"

    async def create(self, name, workers):
        size = {"replicas": workers} if workers is not None else {"autoscale": {"minimum": 0, "maximum": 4}}
        spec = {"image": self.image, "workers": size}
        body = {"apiVersion": self.group, "kind": "DaskCluster", "metadata": {"name": name}, "spec": spec}
        await self.api.call("POST", self.path, body)

    async def scale(self, name, workers):
        await self.api.merge("%s/%s" % (self.path, name), {"spec": {"workers": {"replicas": workers}}})

    def verdict(self, cluster, pods_run):
        """What is wrong with what the status says. Nothing where it is the truth.

        With pods that run, the cluster is Ready. Where no node takes pods, it says so.
        """
        status = cluster.get("status", {})
        if status.get("observedGeneration") != cluster["metadata"]["generation"]:
            return "status of generation %s" % status.get("observedGeneration")
        ready = next((c for c in status["conditions"] if c["type"] == "Ready"), {})
        told = (ready.get("status"), ready.get("reason"))
        is_so = told == (("True", "Ready") if pods_run else ("False", "Unschedulable"))
        return None if is_so else "Ready=%s %s" % told


class OfTheirObjects(Operator):
    """Whoever serves the objects of dask-kubernetes. Its clusters are of the peer's own client's making."""

    group = "kubernetes.dask.org/v1"
    resources = {
        **CORE,
        "clusters": "/apis/kubernetes.dask.org/v1/namespaces/%s/daskclusters",
        "groups": "/apis/kubernetes.dask.org/v1/namespaces/%s/daskworkergroups",
    }

    async def create(self, name, workers):
        # It takes seconds to import, and is not needed for ours.
        from dask_kubernetes.operator.kubecluster.kubecluster import make_cluster_spec

        body = make_cluster_spec(
            name=name,
            image=self.image,
            n_workers=workers or 0,
            resources={},
            env={},
            worker_command="python -m distributed.cli.dask_worker",
        )
        # Recent releases of distributed have no program "dask-scheduler", which the client asks for.
        container = body["spec"]["scheduler"]["spec"]["containers"][0]
        container["args"] = ["python", "-m", "distributed.cli.dask_scheduler", *container["args"][1:]]
        await self.api.call("POST", self.path, body)
        if workers is None:
            scaler = {"spec": {"cluster": name, "minimum": 0, "maximum": 4}, "metadata": {"name": name}}
            body = {"apiVersion": self.group, "kind": "DaskAutoscaler", **scaler}
            await self.api.call("POST", self.path.replace("daskclusters", "daskautoscalers"), body)

    async def scale(self, name, workers):
        await self.api.merge("%s/%s" % (self.path, name), {"spec": {"worker": {"replicas": workers}}})

    def verdict(self, cluster, pods_run):
        """Running means that the Service exists, whatever the pods do; the peer's own client waits for that."""
        phase = cluster.get("status", {}).get("phase")
        return None if phase == "Running" else "phase %s" % phase


class Served(OfThisProject, OfTheirObjects):
    """In the place of the peer's."""

    name, title = "served", "daskflow for dask-kubernetes"
    resources = OfTheirObjects.resources
    flags = ("--dask-kubernetes",)
    children = [*OfThisProject.children, ("groups", None, lambda workers: 1)]


class DaskKubernetes(OfTheirObjects):
    """The peer, with the flags of its chart."""

    name, title, probe = "theirs", "dask-kubernetes", "/healthz"
    resources = {**OfTheirObjects.resources, "deployments": "/apis/apps/v1/namespaces/%s/deployments"}
    children = [
        ("deployments", "scheduler", lambda workers: 1),
        ("services", "scheduler", lambda workers: 1),
        ("groups", None, lambda workers: 1),
        ("deployments", "worker", lambda workers: workers),
    ]
    workers_are = ("deployments", "worker")

    def __init__(self, api, directory, image, python):
        super().__init__(api, directory, image)
        self.python = python

    def command(self):
        liveness = "--liveness=http://127.0.0.1:%d/healthz" % PORT
        module = "dask_kubernetes.operator.controller"
        return [self.python, "-m", "kopf", "run", "-m", module, liveness, "--all-namespaces"]
