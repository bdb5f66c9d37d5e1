"""A small application of Celery's: tasks for the service in C++, and a client of the worker in C++.

tasks.py          sends tasks to the worker in C++ and prints what comes back
"""
import os

from celery import Celery, chain, signature

URL = os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379")
app = Celery("tasks", broker=URL, backend=os.environ.get("CELERY_RESULT_BACKEND", URL))


@app.task(name="tasks.add")
def add(x, y, scale=1):
    return (x + y) * scale


@app.task(name="tasks.divide")
def divide(x, y):
    return x / y


@app.task(name="tasks.total")
def total(numbers):
    return sum(numbers)


def main():
    primes = app.send_task("cpp.primes", kwargs={"limit": 100000}, queue="cpp")
    words = app.send_task("cpp.words", ["to be or not to be"], queue="cpp")
    print("python:  C++ counts", words.get(timeout=10), flush=True)
    print("python:  C++ finds", primes.get(timeout=30), "primes", flush=True)
    try:
        app.send_task("cpp.words", [""], queue="cpp").get(timeout=10)
    except ValueError as problem:
        print("python:  C++ raised ValueError:", problem, flush=True)
    steps = chain(add.s(50, 50), signature("cpp.primes", app=app).set(queue="cpp"), add.s(1000))
    print("python:  primes below 100, and 1000:", steps.apply_async().get(timeout=10), flush=True)


if __name__ == "__main__":
    main()
