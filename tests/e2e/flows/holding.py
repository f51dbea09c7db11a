"""Scatters VALUES values of BYTES bytes over WORKERS workers, holds them until it is told, and then wants all of them."""

values, size, workers = map(int, arguments)
with Client(address) as client:
    until("all workers are there", lambda: len(client.nthreads()) == workers)
    data = [b"%08d" % number + bytes(size) for number in range(values)]
    futures = client.scatter(data, hash=False)
    shares = sorted(len(keys) for keys in client.has_what().values())
    assert len(shares) == workers and shares[0] > 0, shares
    print("holding", shares)
    told.wait()
    assert client.gather(futures) == data
print("kept all", values)
