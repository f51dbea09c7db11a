"""A scheduler behind a proxy that knows it by a name which no name server has, on every engine."""

from harness import Runner

SCRIPT = """
    import os
    import socket
    from distributed import Client

    client = Client()
    assert client.submit(sum, [1, 2, 3]).result() == 6
    assert os.getpid() not in client.run(os.getpid).values()
    host = os.environ["DASK_SCHEDULER_ADDRESS"].split("://")[-1].rsplit(":", 1)[0]
    assert host == "daskgateway-a1b2c3", host
    # No other name is found anywhere else than before.
    try:
        socket.getaddrinfo("daskgateway-another.invalid", 1)
    except socket.gaierror:
        print("the others are as they were")
"""


def runner_by_name(python, cluster, tmp_path, proxy):
    address = "tcp://daskgateway-a1b2c3:" + cluster.address.rsplit(":", 1)[1]
    return Runner(python, tmp_path, address, {"DASKFLOW_SCHEDULER_PROXY": proxy} if proxy else {})


def test_a_name_of_the_proxy_leads_to_it(python, cluster, tmp_path):
    done = runner_by_name(python, cluster, tmp_path, "127.0.0.1").run(SCRIPT, DASKFLOW_ENGINE="Dask")
    assert (done.code, done.reason) == (0, "Succeeded"), done
    assert "the others are as they were" in done.out


def test_without_a_proxy_the_name_leads_nowhere(python, cluster, tmp_path):
    runner = runner_by_name(python, cluster, tmp_path, None)
    done = runner.run(SCRIPT, DASKFLOW_ENGINE="Dask", DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT="1s")
    assert (done.code, done.reason) == (1, "SchedulerUnreachable"), done
