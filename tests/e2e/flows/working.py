"""TASKS tasks of SECONDS seconds each, which may ask for Dask resources (`GPU=1`). Tells how often each was begun."""

tasks, seconds, wanted = int(arguments[0]), float(arguments[1]), arguments[2:]
resources = {name: float(amount) for name, amount in (pair.split("=") for pair in wanted)}


def work(number):
    get_worker().log_event(starts_topic, number)
    time.sleep(seconds)
    return -number


with Client(address) as client:
    futures = client.map(work, range(tasks), pure=False, resources=resources or None)
    print("asked")
    until("all begun", lambda: len(starts(client)) == tasks)
    assert client.gather(futures) == [-number for number in range(tasks)]
    print("ended")
    print("starts:", starts(client))
