"""A Dask script that starts a cluster of its own instead of using the one it was given."""

from distributed import Client, LocalCluster

if __name__ == "__main__":
    with LocalCluster(n_workers=1, processes=False) as cluster, Client(cluster) as client:
        print("work is done in the runner", client.submit(sum, [1, 2]).result())
