"""TLS: what a Prefect 1 flow ends with when the certificates fit, and when they do not. Above all: that it ends."""

import shutil
import subprocess

import pytest
from harness import Cluster, Runner

pytestmark = [
    pytest.mark.engines("prefect-1.4.1"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make certificates with"),
]

FLOW = """
    from prefect import Flow, task

    @task
    def one():
        return 1

    with Flow("secured") as flow:
        one()
    flow.run()
"""


def make_certificate(directory, name):
    """A self-signed certificate that is its own CA: enough for Dask, which checks the chain and no host name."""
    command = ["openssl", "req", "-x509", "-nodes", "-days", "1", "-newkey", "ec", "-pkeyopt"]
    command += ["ec_paramgen_curve:P-256"]
    files = ["-subj", "/CN=" + name, "-keyout", directory / (name + ".key"), "-out", directory / (name + ".crt")]
    subprocess.run([*command, *map(str, files)], check=True, capture_output=True)


def tls_environment(directory, name, roles):
    prefix = "DASK_DISTRIBUTED__COMM__TLS__"
    env = {prefix + "CA_FILE": directory / (name + ".crt"), "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True"}
    for role in roles:
        env[prefix + role + "__CERT"] = directory / (name + ".crt")
        env[prefix + role + "__KEY"] = directory / (name + ".key")
    return {key: str(value) for key, value in env.items()}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tls")
    for name in ("cluster", "stranger"):
        make_certificate(directory, name)
    return directory


@pytest.fixture(scope="module")
def tls_cluster(python, certificates, tmp_path_factory):
    env = tls_environment(certificates, "cluster", ["SCHEDULER", "WORKER"])
    cluster = Cluster(python, tmp_path_factory.mktemp("tls-cluster"), env, protocol="tls", workers=1)
    try:
        yield cluster.start()
    finally:
        cluster.stop()


def test_flow_runs_over_mutual_tls(python, tls_cluster, certificates, tmp_path):
    env = tls_environment(certificates, "cluster", ["CLIENT"])
    done = Runner(python, tmp_path, tls_cluster.address, env).run(FLOW)
    assert (done.code, done.reason) == (0, "Succeeded"), done
    assert tls_cluster.task_runs() == 1


@pytest.mark.parametrize(
    "name, scheme",
    [("stranger", "tls"), (None, "tls"), ("cluster", "tcp")],
    ids=["certificate of a stranger", "no TLS configured", "plain address"],
)
def test_flow_fails_and_ends_when_tls_does_not_fit(python, tls_cluster, certificates, tmp_path, name, scheme):
    env = tls_environment(certificates, name, ["CLIENT"]) if name else {}
    address = tls_cluster.address.replace("tls:", scheme + ":")
    done = Runner(python, tmp_path, address, env).run(FLOW, DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT="2s")
    assert (done.code, done.reason) == (3, "FlowFailed"), done
    assert "flow 'secured' failed: " in done.message


def test_a_cluster_of_a_gateway_has_the_certificates_of_the_run(python, gateway_client, tls_cluster, certificates, tmp_path):
    """As the operator gives them, and as a script finds those of a gateway."""
    env = dict(tls_environment(certificates, "cluster", ["CLIENT"]), PYTHONPATH=gateway_client)
    done = Runner(python, tmp_path, tls_cluster.address, env).run("""
        from dask_gateway import GatewayCluster
        from distributed import Client

        cluster = GatewayCluster()
        assert len(cluster.scheduler_info["workers"]) == 1
        assert "BEGIN CERTIFICATE" in cluster.security.tls_cert and "PRIVATE KEY" in cluster.security.tls_key
        with Client(cluster.scheduler_address, security=cluster.security) as client:
            assert client.submit(sum, [1, 2]).result() == 3
        assert cluster.get_client().submit(sum, [1, 2]).result() == 3
    """)
    assert (done.code, done.reason) == (0, "Succeeded"), done
    assert "GatewaySecurity" not in done.message
