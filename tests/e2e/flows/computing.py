"""Computes over and over until it is told to stop, and checks every result."""


def square(number):
    time.sleep(0.02)
    return number * number


rounds = 0
with Client(address) as client:
    while not told.is_set() or rounds == 0:
        numbers = range(1000 * rounds, 1000 * rounds + 40)
        assert client.gather(client.map(square, numbers, pure=False)) == [number**2 for number in numbers]
        rounds += 1
        if rounds == 1:
            print("computing")
print("computed", rounds, "rounds")
