"""A plugin of pytest (-p shim) that puts this operator, in a pod, in the place of the one that the tests of dask-kubernetes start in
their process, and the cluster of KUBECONFIG in the place of one that they make.

Its settings are variables: CHART, the folder of our chart, and OPERATOR, the image of the operator.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import types

# Beside the namespace of a test, which then has the pods of its clusters alone, as with an operator in the process.
NAMESPACE = "dask-k8s-operator"
SELECTOR = "app.kubernetes.io/component=operator"
EXIT_CODES = "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}{'\\n'}"


def kubectl(*arguments, text=None):
    return subprocess.run(["kubectl", *arguments], check=True, encoding="utf-8", input=text, stdout=subprocess.PIPE).stdout


class Cluster:
    """What the tests use of pytest_kind.cluster.KindCluster."""

    def __init__(self, name, image=None):
        self.name = name
        self.kubeconfig_path = os.environ["KUBECONFIG"]

    def create(self):
        pass

    def delete(self):
        pass

    def load_docker_image(self, image):
        pass

    def kubectl(self, *arguments):
        return kubectl(*arguments)

    @contextlib.contextmanager
    def port_forward(self, target, port, *arguments):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            local = free.getsockname()[1]
        end = time.monotonic() + 60
        while True:
            # It ends by itself while no pod is ready.
            forward = subprocess.Popen(["kubectl", "port-forward", target, f"{local}:{port}", *arguments])
            while forward.poll() is None and not is_served(local):
                time.sleep(0.1)
            if forward.poll() is None:
                break
            assert time.monotonic() < end, f"{target} cannot be forwarded"
        try:
            yield local
        finally:
            forward.terminate()
            forward.wait()


def is_served(port):
    """Whether what stands behind a forwarded port takes connections. kubectl takes one before it knows, closes it where the pod does
    not, and then ends. A Dask scheduler speaks first; what waits to be asked says nothing for a second."""
    with socket.socket() as connection:
        if connection.connect_ex(("127.0.0.1", port)) != 0:
            return False
        connection.settimeout(1)
        try:
            return connection.recv(1) != b""
        except TimeoutError:
            return True
        except OSError:
            return False


class Runner:
    """What they use of kopf.testing.KopfRunner: the operator runs between enter and exit, for one namespace."""

    def __init__(self, arguments, **_):
        self.namespace = arguments[arguments.index("--namespace") + 1]
        self.exit_code = self.output = self.stdout = self.exception = None

    def __enter__(self):
        repository, tag = os.environ["OPERATOR"].rsplit(":", 1)
        values = [
            "compatibility.daskKubernetes.enabled=true",
            "crds.enabled=false",
            f"watchNamespaces={{{self.namespace}}}",
            "leaderElection.enabled=false",
            f"image.repository={repository}",
            f"image.tag={tag}",
            "fullnameOverride=operator",
            "tests.enabled=false",
            "readinessProbe.periodSeconds=1",
        ]
        flags = [word for value in values for word in ("--set", value)]
        template = ["helm", "template", "operator", os.environ["CHART"], "--namespace", NAMESPACE, *flags]
        rendered = subprocess.run(template, check=True, encoding="utf-8", stdout=subprocess.PIPE).stdout
        own = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        kubectl("apply", "--filename", "-", text=json.dumps(own))
        kubectl("apply", "--filename", "-", text=rendered)
        # Ready: all its watches have begun.
        kubectl("rollout", "status", "deployment/operator", "--namespace", NAMESPACE, "--timeout=60s")
        return self

    def __exit__(self, *_):
        here = ["--namespace", NAMESPACE]
        self.output = self.stdout = kubectl("logs", "deployment/operator", "--tail=-1", *here)
        watch = ["kubectl", "get", "pods", "--selector", SELECTOR, "--watch", "--output", EXIT_CODES, *here]
        with subprocess.Popen(watch, encoding="utf-8", stdout=subprocess.PIPE) as codes:
            kubectl("delete", "deployment", "operator", "--cascade=foreground", *here)
            end = time.monotonic() + 60
            while kubectl("get", "pods", "--selector", SELECTOR, "--output", "name", *here):
                assert time.monotonic() < end, "the operator does not end"
                time.sleep(0.1)
            codes.terminate()
            seen = [int(line) for line in codes.stdout if line.strip()]
        self.exit_code = seen[-1] if seen else None


def pytest_addoption(parser):
    parser.addoption("--keep-cluster", action="store_true")


sys.modules["pytest_kind"] = types.ModuleType("pytest_kind")
sys.modules["pytest_kind.cluster"] = types.ModuleType("pytest_kind.cluster")
sys.modules["pytest_kind.cluster"].KindCluster = Cluster

import kopf.testing  # noqa: E402

kopf.testing.KopfRunner = Runner
