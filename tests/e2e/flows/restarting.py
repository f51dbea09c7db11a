"""Cleans up as on a laptop: restarts the workers before its work, shuts the cluster down after it."""

from distributed import Client

if __name__ == "__main__":
    client = Client()
    client.restart()
    print("sum:", client.submit(sum, [1, 2]).result(), flush=True)
    client.shutdown()
