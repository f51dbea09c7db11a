"""A Prefect 1 flow of which one task fails. Prefect itself would leave with code 0."""

from prefect import Flow, task


@task
def measure(number):
    if number == 3:
        raise ValueError("the reactor is too hot")
    return number


@task
def report(numbers):
    return sum(numbers)


with Flow("failing") as flow:
    report(measure.map([1, 2, 3, 4]))

if __name__ == "__main__":
    flow.run()
