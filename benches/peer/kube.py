"""What the bench needs of Kubernetes: requests, watches that say when a child came, and counts out of the audit log."""

import asyncio
import base64
import collections
import json
import ssl
import tempfile
import time

import aiohttp
import yaml

METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LISTS = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
CLUSTER_LABEL, COMPONENT_LABEL = "dask.org/cluster-name", "dask.org/component"


class Refused(Exception):
    """The API server answered with an error."""

    def __init__(self, status, message):
        super().__init__("%s (%d)" % (message, status))
        self.status = status


class Api:
    """The API server, as the administrator of the cluster."""

    def __init__(self, kubeconfig):
        with open(kubeconfig) as file:
            config = yaml.safe_load(file)
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.server = cluster["server"]
        self.authority = cluster["certificate-authority-data"]
        self.context = ssl.create_default_context(cadata=base64.b64decode(self.authority).decode())
        with tempfile.NamedTemporaryFile() as both:
            both.write(base64.b64decode(user["client-certificate-data"]) + b"\n")
            both.write(base64.b64decode(user["client-key-data"]))
            both.flush()
            self.context.load_cert_chain(both.name)

    async def __aenter__(self):
        connector = aiohttp.TCPConnector(ssl=self.context, limit=0)
        # A line of a watch is one object, and may be long.
        self.session = aiohttp.ClientSession(self.server, connector=connector, read_bufsize=4 << 20)
        return self

    async def __aexit__(self, *_):
        await self.session.close()

    async def call(self, verb, path, body=None, kind="application/json", **parameters):
        headers = {"Content-Type": kind}
        data = None if body is None else json.dumps(body)
        async with self.session.request(verb, path, data=data, headers=headers, params=parameters) as answer:
            value = json.loads(await answer.text())
            if answer.status >= 300:
                raise Refused(answer.status, "%s %s: %s" % (verb, path, value.get("message")))
            return value

    async def ensure(self, path, body):
        """Creates what may be there already."""
        try:
            await self.call("POST", path, body)
        except Refused as error:
            if error.status != 409:
                raise

    async def merge(self, path, patch):
        return await self.call("PATCH", path, patch, "application/merge-patch+json")

    async def items(self, path):
        return (await self.call("GET", path))["items"]


class Children:
    """The objects of a few resources in one namespace: when the watch of each first told of it, and whether it is still there. Of
    the resource "clusters" also when the watch first told of an object with the phase Running, whatever its phase is later."""

    def __init__(self, api, namespace, resources):
        self.api, self.paths = api, {name: path % namespace for name, path in resources.items()}
        self.seen, self.there, self.running, self.news = {}, {}, {}, asyncio.Event()

    async def __aenter__(self):
        versions = [(name, await self.version(path)) for name, path in self.paths.items()]
        self.tasks = [asyncio.create_task(self.watch(name, version)) for name, version in versions]
        return self

    async def __aexit__(self, *_):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def version(self, path):
        while True:
            async with self.api.session.get(path, headers={"Accept": METADATA_LISTS}) as answer:
                # The storage of a definition that was made a moment ago is still being set up.
                if answer.status != 429:
                    return (await answer.json(content_type=None))["metadata"]["resourceVersion"]
            await asyncio.sleep(float(answer.headers.get("Retry-After", 1)))

    async def watch(self, name, version):
        parameters = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "1800"}
        get = self.api.session.get(
            self.paths[name],
            params=parameters,
            headers={"Accept": "application/json" if name == "clusters" else METADATA_ONLY},
            timeout=aiohttp.ClientTimeout(total=None),
        )
        async with get as answer:
            async for line in answer.content:
                self.take(name, json.loads(line), time.monotonic())
        raise RuntimeError("the watch of %s has ended" % name)

    def take(self, resource, event, now):
        metadata = event["object"]["metadata"]
        labels = metadata.get("labels") or {}
        key = (resource, metadata["name"])
        if event["type"] == "DELETED":
            self.there.pop(key, None)
        else:
            self.seen.setdefault(key, now)
            self.there[key] = labels.get(COMPONENT_LABEL, "")
            if resource == "clusters" and event["object"].get("status", {}).get("phase") == "Running":
                self.running.setdefault(metadata["name"], now)
        self.news.set()

    def count(self, resource, component=None):
        """How many there are."""
        return sum(r == resource and component in (None, c) for (r, _), c in self.there.items())

    def last(self, resource, component=None):
        """When a watch first told of the last of those that are there."""
        times = (self.seen[k] for k, c in self.there.items() if k[0] == resource and component in (None, c))
        return max(times, default=None)

    async def until(self, is_so, within):
        """Waits; whether it came true in time."""
        end = time.monotonic() + within
        while not is_so():
            if any(task.done() for task in self.tasks):
                raise RuntimeError("a watch has ended: the times would be wrong")
            self.news.clear()
            try:
                await asyncio.wait_for(self.news.wait(), max(0.0, min(1.0, end - time.monotonic())))
            except asyncio.TimeoutError:
                if time.monotonic() >= end:
                    return is_so()
        return True


class Audit:
    """The requests of one user from now on."""

    def __init__(self, path, user):
        self.path, self.user = path, user
        with open(path, "rb") as log:
            self.begin = log.seek(0, 2)

    def counts(self):
        """Requests for objects, by verb and resource; how many others there were: watches that ended, and questions
        about the API itself; and the user agents, for the record."""
        counts, others, agents = collections.Counter(), collections.Counter(), set()
        with open(self.path, "rb") as log:
            log.seek(self.begin)
            for line in log:
                if self.user.encode() not in line or not line.endswith(b"\n"):
                    continue
                entry = json.loads(line)
                if entry["user"]["username"] != self.user or entry["stage"] != "ResponseComplete":
                    continue
                agents.add(entry.get("userAgent", ""))
                about = entry.get("objectRef")
                if entry["verb"] == "watch" or not about or "resource" not in about:
                    others["watch" if entry["verb"] == "watch" else "about the API"] += 1
                    continue
                what = about["resource"]
                if about.get("subresource"):
                    what += "/" + about["subresource"]
                if "dryRun=" in entry["requestURI"]:
                    what += " (dry run)"
                code = entry.get("responseStatus", {}).get("code", 0)
                counts["%s %s%s" % (entry["verb"], what, "" if code < 300 else " %d" % code)] += 1
        return counts, others, agents
