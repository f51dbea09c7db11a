"""A plain Dask program. Client() without arguments connects to the cluster that the run was given.

Parameters of the Flow resource arrive as JSON in DASKFLOW_PARAMETERS.
"""

import json
import os

from distributed import Client


def square(number):
    return number * number


def main():
    parameters = json.loads(os.environ.get("DASKFLOW_PARAMETERS") or "{}")
    count = parameters.get("count", 100)
    with Client() as client:
        total = client.submit(sum, client.map(square, range(count))).result()
    print(f"the sum of the first {count} squares is {total}")


if __name__ == "__main__":
    main()
