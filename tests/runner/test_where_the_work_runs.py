"""Plain Dask: "Succeeded" means that the work was done, and on the workers of the run's cluster."""

import textwrap

import pytest
from conftest import PLAIN_DASK
from harness import NO_ADDRESS

pytestmark = pytest.mark.engines(*PLAIN_DASK)

WORK = """
import os
import dask

@dask.delayed
def where(n):
    return os.getpid()

work = [where(n) for n in range(4)]

def check(pids):
    print("work done")
    assert os.getpid() not in pids, "it ran in the runner"
"""

GOES_TO_THE_CLUSTER = {
    "compute without a client": "check(dask.compute(*work))",
    "method of a collection": "check([work[0].compute()])",
    "persist": "check([one.compute() for one in dask.persist(*work)])",
    "bag, whose default are processes": """
        import dask.bag
        check(dask.bag.from_sequence(range(4)).map(lambda n: os.getpid()).compute())
    """,
    "after the client was closed": """
        from distributed import Client
        with Client():
            pass
        check(dask.compute(*work))
    """,
    "client that is not the default": """
        from distributed import Client
        client = Client(set_as_default=False)
        check(dask.compute(*work))
    """,
    "scheduler by name without a client": "check(dask.compute(*work, scheduler='distributed'))",
    "client with sizes": """
        from distributed import Client
        Client(n_workers=4, threads_per_worker=1, memory_limit="2GB")
        check(dask.compute(*work))
    """,
    "client without processes": """
        from distributed import Client
        client = Client(processes=False)
        check([client.submit(os.getpid).result()])
    """,
    "client of another address": """
        from distributed import Client
        client = Client("tcp://127.0.0.1:2")
        check([client.submit(os.getpid).result()])
    """,
    "client of another address by keyword, with a certificate": """
        from distributed import Client
        from distributed.security import Security
        client = Client(address="tls://dask-scheduler:8786", security=Security(tls_ca_file="/nowhere"), timeout=5)
        check([client.submit(os.getpid).result()])
    """,
    "client of a scheduler file": """
        from distributed import Client
        client = Client(scheduler_file="/nowhere/scheduler.json")
        check([client.submit(os.getpid).result()])
    """,
    "asynchronous client of another address": """
        import asyncio
        from distributed import Client

        async def main():
            async with Client("tcp://127.0.0.1:2", asynchronous=True) as client:
                check([await client.submit(os.getpid)])

        asyncio.run(main())
    """,
    "address in Dask's configuration": """
        from distributed import Client
        dask.config.set({"scheduler-address": "tcp://127.0.0.1:2"})
        client = Client()
        check([client.submit(os.getpid).result()])
    """,
}

SAID_TO_RUN_HERE = {
    "threads by argument": "check(dask.compute(*work, scheduler='threads'))",
    "processes by argument": "if __name__ == '__main__':\n    check(dask.compute(*work, scheduler='processes'))",
    "synchronous by method": "check([work[0].compute(scheduler='sync')])",
    "configuration beside a client": """
        from distributed import Client
        client = Client()
        with dask.config.set(scheduler="threads"):
            check(dask.compute(*work))
    """,
    "a pool of the script's own": """
        from concurrent.futures import ThreadPoolExecutor
        check(dask.compute(*work, scheduler=ThreadPoolExecutor(2)))
    """,
    "the scheduler's function": """
        import dask.threaded
        check(dask.compute(*work, scheduler=dask.threaded.get))
    """,
    "a graph by hand, one after the other": "check([dask.get({'x': (os.getpid,)}, 'x')])",
    "a graph by hand": """
        import dask.threaded
        check([dask.threaded.get({"x": (os.getpid,)}, "x")])
    """,
}

CLUSTERS_OF_ITS_OWN = {
    "cluster of workers by specification": """
        from distributed import Client, SpecCluster, Scheduler, Worker
        cluster = SpecCluster(workers={0: {"cls": Worker}}, scheduler={"cls": Scheduler})
        client = Client(cluster)
    """,
    "cluster class of another package": """
        from distributed.deploy.cluster import Cluster

        class KubeCluster(Cluster):
            def __init__(self, n_workers):
                open("/proc/self/kubeconfig")
                super().__init__()

        KubeCluster(n_workers=5)
    """,
    "cluster over ssh": "from distributed import SSHCluster\nSSHCluster(['localhost', 'localhost'])",
    "scheduler by class": """
        import asyncio
        from distributed import Scheduler

        async def main():
            async with Scheduler(port=0, dashboard=False):
                pass

        asyncio.run(main())
    """,
}


def script(tail):
    return WORK + textwrap.dedent(tail) + "\n"


ONE = """
try:
    exec(compile(%r, "flow.py", "exec"), dict(globals()))
except Exception as error:
    print(%r, type(error).__name__, error, flush=True)
else:
    print(%r, "went well", flush=True)
for client in list(__import__("distributed").Client._instances):
    if client.status == "running":
        client.close()
"""


def one_after_the_other(cases):
    """A script that tries all of them, whatever becomes of each: a process for each would cost a minute."""
    return WORK + "".join(ONE % (textwrap.dedent(tail), name, name) for name, tail in cases.items())


def lines(done, cases):
    return [line for line in done.out.splitlines() if line.startswith(tuple(cases))]


def test_work_is_done_on_the_workers_and_what_was_changed_is_reported(runner):
    done = runner.run(one_after_the_other(GOES_TO_THE_CLUSTER))
    assert (done.code, done.reason) == (0, "Succeeded"), done
    assert lines(done, GOES_TO_THE_CLUSTER) == [name + " went well" for name in GOES_TO_THE_CLUSTER], done
    assert done.out.count("work done") == len(GOES_TO_THE_CLUSTER)
    for words in ("computes without a Client", "n_workers", "processes left out", "tcp://127.0.0.1:2", "scheduler.json"):
        assert words in done.message, done


def test_client_with_sizes_of_a_script_of_its_own(runner):
    done = runner.run(script(GOES_TO_THE_CLUSTER["client with sizes"]))
    assert (done.code, done.reason) == (0, "Succeeded"), done
    assert done.message == "Client: memory_limit, n_workers, threads_per_worker left out, the run's cluster is used"


def test_work_that_the_script_keeps_here_is_refused_with_the_line_to_write(runner):
    done = runner.run(one_after_the_other(SAID_TO_RUN_HERE))
    assert (done.code, done.reason) == (5, "RanOutsideCluster"), done
    found = lines(done, SAID_TO_RUN_HERE)
    assert len(found) == len(SAID_TO_RUN_HERE) and all(" Stop " in line for line in found), done
    assert "work done" not in done.out
    assert "engine: Dask" in done.message and "(flow.py:" in done.message


def test_engine_dask_leaves_that_to_the_script(runner):
    source = "if __name__ == '__main__':\n" + textwrap.indent(one_after_the_other(SAID_TO_RUN_HERE), "    ")
    source = source.replace("assert os.getpid()", "assert True or os.getpid()")
    source = source.replace("def where(n):", "def where(n):\n        import os")
    done = runner.run(WORK + source, DASKFLOW_ENGINE="Dask")
    assert (done.code, done.reason) == (0, "Succeeded"), done
    assert lines(done, SAID_TO_RUN_HERE) == [name + " went well" for name in SAID_TO_RUN_HERE], done
    assert "in the runner" in done.message


def test_engine_dask_sends_what_the_script_does_not_decide(runner):
    done = runner.run(script("check(dask.compute(*work))"), DASKFLOW_ENGINE="Dask")
    assert (done.code, done.reason) == (0, "Succeeded"), done


def test_cluster_of_any_class_is_refused(lone_runner):
    done = lone_runner.run(one_after_the_other(CLUSTERS_OF_ITS_OWN))
    assert (done.code, done.reason) == (5, "RanOutsideCluster"), done
    found = lines(done, CLUSTERS_OF_ITS_OWN)
    assert len(found) == len(CLUSTERS_OF_ITS_OWN), done
    assert all(" Stop " in line and "Client()" in line for line in found), done
    assert "(flow.py:" in done.message


def test_compute_without_any_cluster_is_refused(lone_runner):
    done = lone_runner.run(script("check(dask.compute(*work))"), **NO_ADDRESS)
    assert (done.code, done.reason) == (5, "RanOutsideCluster"), done


def test_compute_on_a_cluster_that_does_not_answer_is_no_success(lone_runner):
    done = lone_runner.run(script("check(dask.compute(*work))"), DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT="1s")
    assert (done.code, done.reason) == (1, "SchedulerUnreachable"), done


def test_a_library_s_small_computation_beside_the_cluster_is_let_through(runner, tmp_path):
    """Libraries compute sizes and the like in the runner, of their own accord; only the script's own word is judged."""
    library = tmp_path / "lib" / "site-packages"
    library.mkdir(parents=True)
    (library / "acme.py").write_text("import dask\n\ndef size(x):\n    return dask.compute(x, scheduler='sync')[0]\n")
    tail = "import acme\nacme.size(work[0])\nfrom distributed import Client\nClient()\ncheck(dask.compute(*work))\n"
    done = runner.run(script(tail), PYTHONPATH=library)
    assert (done.code, done.reason) == (0, "Succeeded"), done


def test_client_that_names_the_run_s_own_scheduler_is_no_surprise(runner):
    source = """
        import os
        from distributed import Client
        client = Client(os.environ["DASK_SCHEDULER_ADDRESS"].split("//")[1])
        print(client.submit(int, 7).result())
    """
    done = runner.run(source)
    assert (done.code, done.message) == (0, ""), done
