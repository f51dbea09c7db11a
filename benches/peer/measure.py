"""Measures daskflow beside dask-kubernetes on one cluster, turn by turn: measure.py --help

daskflow is measured twice: with its own objects, and with those of dask-kubernetes, which it serves in the peer's place.

Each measurement starts the operator anew, and is one line of JSON; a table of all of them comes at the end. Times are
this program's own clock, by watches that were opened before the first create.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import sys
import time

import aiohttp

from kube import Api, Audit, Children
from operators import Daskflow, DaskKubernetes, Served

CREATES_AT_ONCE = 10
CHILDREN_S = 240  # for all children of a burst
SETTLE_S = 15  # from the last child to the look at conditions and requests
REST_S = 60
RUN_S = 300  # for pods that start side by side on a small machine
SCALE_S = 90
ON_THEIR_WAY_S = 0.7  # pods are there by then, and no worker has registered
DATA = 1_000_000  # bytes of one of the things that are kept


def say(*words):
    print(time.strftime("%T"), *words, file=sys.stderr, flush=True)


class Bench:
    def __init__(self, api, options):
        self.api, self.options, self.lines = api, options, []

    async def cordon(self, is_cordoned):
        for node in await self.api.items("/api/v1/nodes"):
            path = "/api/v1/nodes/" + node["metadata"]["name"]
            await self.api.merge(path, {"spec": {"unschedulable": is_cordoned}})

    async def turn(self, operator, scenario, *arguments):
        """One measurement of one operator, from its start to its end, and the namespace empty again."""
        load = os.getloadavg()[0]
        say(operator.title, scenario.__name__, *arguments)
        async with Children(self.api, operator.namespace, operator.resources) as children:
            await operator.start(self.options.resolv_conf)
            try:
                line = await scenario(operator, children, *arguments)
                await self.clear(operator, children)
            finally:
                operator.stop()
        is_said = operator.name != "served" or line.get("running") == line.get("clusters")
        if self.options.small and not (line["complete"] and is_said):
            raise RuntimeError("%s makes no cluster: %s" % (operator.title, json.dumps(line)))
        line = {"operator": operator.title, "scenario": scenario.__name__, "load_before": round(load, 1), **line}
        self.lines.append(line)
        print(json.dumps(line), file=self.options.out, flush=True)
        say(json.dumps(line))

    async def clear(self, operator, children):
        for cluster in await self.api.items(operator.path):
            await self.api.call("DELETE", "%s/%s" % (operator.path, cluster["metadata"]["name"]))
        if not await children.until(lambda: not children.there, RUN_S):
            raise RuntimeError("left behind by %s: %s" % (operator.title, sorted(children.there)))

    async def create(self, operator, count, workers):
        """All at once, so many requests side by side. Gives when the first began."""
        free = asyncio.Semaphore(CREATES_AT_ONCE)

        async def one(number):
            async with free:
                await operator.create("bench-%03d" % number, workers)

        begin = time.monotonic()
        await asyncio.gather(*(one(number) for number in range(count)))
        return begin

    async def burst(self, operator, children, count):
        """Clusters of one worker, on a node that takes no pods: what is measured is the operator, not the kubelet."""
        await self.cordon(True)
        await self.warm(operator, children)
        audit = Audit(self.options.audit, operator.user)
        (before, _), cpu = operator.memory(), operator.cpu()
        begin = await self.create(operator, count, 1)
        complete = await self.complete(operator, children, count)
        worked = operator.cpu() - cpu
        if operator.name == "served":
            # Another look than that of the last child writes it, and is waited for. The phase of the peer has SETTLE_S.
            is_said = lambda: sum(name.startswith("bench-") for name in children.running) >= count  # noqa: E731
            await children.until(is_said, CHILDREN_S)
        times = {}
        for resource, component, _ in operator.children:
            last = children.last(resource, component)
            times["%s %s" % (component or "", resource)] = last and round(last - begin, 3)
        await asyncio.sleep(SETTLE_S)
        counts, others, agents = audit.counts()
        memory, highest = operator.memory()
        verdicts = [operator.verdict(each, False) for each in await self.api.items(operator.path)]
        wrong = [verdict for verdict in verdicts if verdict]
        running = [at - begin for name, at in children.running.items() if name.startswith("bench-")]
        return {
            "clusters": count,
            "complete": complete,
            "running": len(running),
            "running_s": round(max(running), 3) if running else None,
            "all_children_s": max(value or CHILDREN_S for value in times.values()),
            "children_s": times,
            "pods_s": round((children.last("pods") or begin) - begin, 3),
            "requests": sum(counts.values()),
            "requests_by_kind": dict(counts.most_common()),
            "other_requests": dict(others),
            "agents": sorted(agents),
            "cpu_s": round(operator.cpu() - cpu, 2),
            "cpu_s_to_last_child": round(worked, 2),
            "rss_mib": [before, memory, highest],
            "wrong": len(wrong),
            "wrong_are": sorted(set(wrong)),
        }

    async def warm(self, operator, children):
        """One cluster, made and gone: what is asked and imported once in the life of a process is not measured."""
        await operator.create("warm", 1)
        if not await self.complete(operator, children, 1):
            raise RuntimeError("%s makes no cluster" % operator.title)
        await asyncio.sleep(SETTLE_S / 3)
        await self.clear(operator, children)

    async def complete(self, operator, children, count):
        """Waits for all children of so many clusters of one worker."""

        def is_complete():
            return all(children.count(kind, part) >= count * each(1) for kind, part, each in operator.children)

        return await children.until(is_complete, CHILDREN_S)

    async def rest(self, operator, children, count):
        """Autoscaled clusters with schedulers that run and nothing to do."""
        await self.cordon(False)
        await self.create(operator, count, None)
        end = time.monotonic() + RUN_S
        while await self.ready_schedulers(operator) < count:
            if time.monotonic() > end:
                raise RuntimeError("the schedulers of %s do not start" % operator.title)
            await asyncio.sleep(2)
        await asyncio.sleep(SETTLE_S)
        verdicts = [operator.verdict(each, True) for each in await self.api.items(operator.path)]
        wrong = [verdict for verdict in verdicts if verdict]
        audit, cpu = Audit(self.options.audit, operator.user), operator.cpu()
        await asyncio.sleep(REST_S)
        cpu = operator.cpu() - cpu
        counts, others, _ = audit.counts()
        return {
            "clusters": count,
            "requests_per_s": round(sum(counts.values()) / REST_S, 2),
            "requests_by_kind": dict(counts.most_common()),
            "other_requests": dict(others),
            "cores": round(cpu / REST_S, 4),
            "rss_mib": list(operator.memory()),
            "wrong": len(wrong),
            "wrong_are": sorted(set(wrong)),
        }

    async def ready_schedulers(self, operator):
        pods = await self.api.items("/api/v1/namespaces/%s/pods" % operator.namespace)
        return sum(is_ready(pod) for pod in pods if component(pod) == "scheduler")

    async def there_and_back(self, operator, children, most):
        """1 -> many -> 1 workers of one cluster. The first worker runs and is registered; the others find no node."""
        await self.cordon(False)
        await operator.create("bench", 1)
        await self.until_registered(operator, 1)
        await self.cordon(True)
        audit, cpu = Audit(self.options.audit, operator.user), operator.cpu()
        kind = operator.workers_are
        begin = time.monotonic()
        await operator.scale("bench", most)
        grown = await children.until(lambda: children.count(*kind) >= most, SCALE_S)
        up = time.monotonic() - begin
        await children.until(lambda: children.count("pods", "worker") >= most, SCALE_S)
        up_pods = time.monotonic() - begin
        await asyncio.sleep(SETTLE_S)
        requests_up = audit.counts()[0]
        audit = Audit(self.options.audit, operator.user)
        begin = time.monotonic()
        await operator.scale("bench", 1)
        shrunk = await children.until(lambda: children.count(*kind) <= 1, SCALE_S)
        down = time.monotonic() - begin
        await asyncio.sleep(SETTLE_S)
        requests_down = audit.counts()[0]
        return {
            "workers": most,
            "up_s": round(up, 3) if grown else None,
            "up_pods_s": round(up_pods, 3),
            "down_s": round(down, 3) if shrunk else None,
            "left": children.count(*kind),
            "registered_after": await self.registered(operator),
            "requests": [sum(requests_up.values()), sum(requests_down.values())],
            "requests_by_kind": [dict(requests_up.most_common()), dict(requests_down.most_common())],
            "cpu_s": round(operator.cpu() - cpu, 2),
            "rss_mib": list(operator.memory()),
        }

    async def shrink(self, operator, children, most):
        """How much of the data on workers is there after their number fell to two: of a cluster whose further workers were still
        on their way, with all data on its first, and of one whose workers had all registered."""
        await self.cordon(False)
        kept = {}
        for case in ("early", "late"):
            await operator.create("bench", 1)
            await self.until_registered(operator, 1)
            if case == "late":
                await operator.scale("bench", most)
                await self.until_registered(operator, most)
            async with self.client() as client:
                parts = 10 if case == "early" else 10 * most
                futures = await client.scatter([bytes([part % 256]) * DATA for part in range(parts)], hash=False)
                if case == "early":
                    await operator.scale("bench", most)
                    await asyncio.sleep(ON_THEIR_WAY_S)
                await operator.scale("bench", 2)
                await self.falls_to(operator, 2)
                same = await there(client, futures)
                kept[case] = [sum(len(value) == DATA for value in same), parts, await self.registered(operator)]
            await self.clear(operator, children)
        return {"workers": most, "kept": kept, "rss_mib": list(operator.memory())}

    def client(self):
        """A client of the scheduler that was asked last."""
        from distributed import Client

        return Client("tcp://%s:8786" % self.scheduler_ip, asynchronous=True)

    async def falls_to(self, operator, count):
        """Waits for so many workers, and then for what else an operator does. It may never come to that, and is measured so."""
        end = time.monotonic() + SCALE_S
        while await self.registered(operator) != count and time.monotonic() < end:
            await asyncio.sleep(1)
        await asyncio.sleep(SETTLE_S)

    async def until_registered(self, operator, count):
        end = time.monotonic() + RUN_S
        while await self.registered(operator) != count:
            if time.monotonic() > end:
                raise RuntimeError("the worker of %s does not register" % operator.title)
            await asyncio.sleep(1)
        await asyncio.sleep(SETTLE_S)

    async def registered(self, operator):
        """How many workers the scheduler knows. None while it does not answer."""
        for pod in await self.api.items("/api/v1/namespaces/%s/pods" % operator.namespace):
            if component(pod) == "scheduler" and is_ready(pod):
                self.scheduler_ip = pod["status"]["podIP"]
                url = "http://%s:8787/json/counts.json" % self.scheduler_ip
                try:
                    async with aiohttp.ClientSession() as session, session.get(url) as answer:
                        return (await answer.json())["workers"]
                except aiohttp.ClientError:
                    return None
        return None


async def there(client, futures):
    """What is left of this data. The scheduler forgets what was on the only worker that had it, which may be noticed at any time."""
    from distributed.client import FuturesCancelledError

    while True:
        known = [future for future in futures if not future.cancelled()]
        try:
            holders = await client.who_has(known)
            left = [future for future in known if holders.get(future.key)]
            return await client.gather(left, errors="skip")
        except FuturesCancelledError:
            if not any(future.cancelled() for future in known):
                raise


def component(pod):
    return (pod["metadata"].get("labels") or {}).get("dask.org/component")


def is_ready(pod):
    conditions = pod.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def middle(values, digits=2):
    """The median, with the least and the most where they were several."""
    values = [value for value in values if value is not None]
    if not values:
        return "never"
    text = "%.*f" % (digits, statistics.median(values))
    return text if len(values) == 1 else "%s (%.*f-%.*f)" % (text, digits, min(values), digits, max(values))


def once_running(lines, count):
    """Until the watch had told of each cluster with the phase Running once; objects of dask-kubernetes have one. Where some never
    had it, how many had, and the time of the last of these."""
    had = sum(line["running"] for line in lines)
    if not had:
        return ""
    of_all = count * len(lines)
    text = middle([line["running_s"] for line in lines])
    return text if had == of_all else "%s, of %d of %d" % (text, had, of_all)


def table(lines):
    """All measurements, one row for each kind of each operator."""
    heads = ["what", "operator", "n", "all children, s", "all once Running, s", "requests a cluster", "CPU s"]
    heads += ["RSS, MiB: before, after", "wrong"]
    rows = ["| %s |" % " | ".join(heads), "| --- " * len(heads) + "|"]
    groups = {}
    for line in lines:
        groups.setdefault((line["scenario"], line.get("clusters", 1), line["operator"]), []).append(line)
    for (scenario, count, operator), all_of in sorted(groups.items()):
        pick = lambda key: [line[key] for line in all_of]  # noqa: E731
        if scenario == "burst":
            cells = [
                middle(pick("all_children_s")),
                once_running(all_of, count),
                middle([value / count for value in pick("requests")], 1),
                middle(pick("cpu_s")),
                "%s, %s" % (middle([v[0] for v in pick("rss_mib")], 0), middle([v[1] for v in pick("rss_mib")], 0)),
                "%d of %d" % (sum(pick("wrong")), count * len(all_of)),
            ]
        elif scenario == "rest":
            wrong = "%d of %d" % (sum(pick("wrong")), count * len(all_of))
            cells = ["", "", middle(pick("requests_per_s")) + " in all, a second", middle(pick("cores"), 4) + " cores"]
            cells += [middle([v[0] for v in pick("rss_mib")], 0), wrong]
        elif scenario == "shrink":
            kept = ["%s: %s" % (case, ", ".join("%d of %d, %s workers left" % tuple(each[case]) for each in pick("kept")))
                    for case in ("early", "late")]
            cells = ["data kept", "", "", "", middle([v[0] for v in pick("rss_mib")], 0), "; ".join(kept)]
        else:
            cells = ["up %s, pods %s, down %s" % tuple(middle(pick(k)) for k in ("up_s", "up_pods_s", "down_s")), ""]
            cells += ["up %s, down %s" % tuple(middle([v[i] for v in pick("requests")], 0) for i in (0, 1))]
            cells += [middle(pick("cpu_s")), middle([v[0] for v in pick("rss_mib")], 0)]
            cells += ["left %s, registered %s" % (pick("left"), pick("registered_after"))]
        rows.append("| %s | %s | %d | %s |" % ("%s, %d" % (scenario, count), operator, len(all_of), " | ".join(cells)))
    return "\n".join(rows)


async def resolv_conf(api, options):
    """The file that names the cluster's name service. Fake nodes have none, and nothing on them to ask about."""
    if options.small:
        return "/etc/resolv.conf"
    dns = await api.call("GET", "/api/v1/namespaces/kube-system/services/kube-dns")
    path = os.path.join(options.directory, "resolv.conf")
    with open(path, "w") as file:
        file.write("nameserver %s\nsearch svc.cluster.local cluster.local\n" % dns["spec"]["clusterIP"])
    return path


async def main(options):
    async with Api(options.kubeconfig) as api:
        options.resolv_conf = await resolv_conf(api, options)
        sides = [
            Daskflow(api, options.directory, options.image, options.program),
            Served(api, options.directory, options.image, options.program),
            DaskKubernetes(api, options.directory, options.image, sys.executable),
        ]
        for side in sides:
            await side.prepare()
        bench = Bench(api, options)
        plan = [(bench.burst, count) for count in (1, 20, 100)] + [(bench.rest, 20)]
        plan += [(bench.there_and_back, 100), (bench.shrink, 5)]
        try:
            for number in range(max(options.rounds)):
                for (scenario, count), rounds in zip(plan, options.rounds):
                    # By turns, so that neither is always the one that comes first.
                    for side in sides if number % 2 == 0 else reversed(sides):
                        if number < rounds:
                            await bench.turn(side, scenario, count)
        finally:
            await bench.cordon(False)
            if bench.lines:
                print(table(bench.lines))


def rounds(text):
    return [int(word) for word in text.split(",")]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="daskflow beside dask-kubernetes")
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--audit", required=True, help="the API server's audit log")
    parser.add_argument("--program", required=True, help="daskflow")
    parser.add_argument("--image", required=True, help="with Dask in it")
    parser.add_argument("--directory", required=True, help="for logs and the like")
    parser.add_argument("--out", type=argparse.FileType("a"), required=True, help="a line of JSON for each measurement")
    parser.add_argument("--rounds", type=rounds, default=[5, 3, 1, 1, 1, 1], help="of 1, 20, 100, 20 at rest, 1-100-1, data")
    parser.add_argument("--small", action="store_true", help="one cluster of each, on any nodes: whether it works")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # as Ctrl-C does: the operator that runs is stopped
    chosen = parser.parse_args()
    if chosen.small:
        chosen.rounds, SETTLE_S = [1], 1
    asyncio.run(main(chosen))
