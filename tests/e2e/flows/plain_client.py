"""A client that knows nothing of TLS. It must not get through, whatever it asks."""

try:
    with Client(address, timeout="5s") as client:
        print("let in:", client.scheduler_info())
except (OSError, TimeoutError) as error:
    print("refused:", type(error).__name__, error)
