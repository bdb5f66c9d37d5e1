"""Sends, runs and waits for tasks that do nothing: in C++, in Python, and across, in one run on one server.

celery_bench.py PROGRAM PORT      PROGRAM is the built celery.cpp; a Redis listens on the loopback PORT, and may be flushed
"""
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import redis
from celery import Celery

PORT = os.environ.get("BENCH_PORT") or sys.argv[2]  # the worker is told through the environment
PROGRAM = sys.argv[1]
URL = f"redis://127.0.0.1:{PORT}/0"
app = Celery("bench", broker=URL, backend=URL)
app.conf.worker_prefetch_multiplier = 64


@app.task(name="bench.nothing")
def nothing():
    return None


def cpu_of(pid):
    """Seconds of CPU that a process has used."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Worker:
    def __init__(self, command, environment=None):
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def cpp_worker(queue):
    return Worker([PROGRAM, "worker", URL, queue, "64"])


def python_worker(queue, folder):
    log = pathlib.Path(folder, f"{queue}.log")
    here = str(pathlib.Path(__file__).resolve().parent)
    environment = dict(os.environ, BENCH_PORT=PORT, PYTHONPATH=here, PYTHONDONTWRITEBYTECODE="1")
    command = ["/usr/bin/python3", "-W", "ignore", "-m", "celery", "-A", "celery_bench", "worker", "-P", "solo", "-l", "WARNING"]
    return Worker([*command, "--without-gossip", "--without-mingle", "--without-heartbeat", "-Q", queue, "--logfile", str(log)], environment)


def run(*words):
    """The figures that the program prints, without the lines of its log."""
    lines = subprocess.run([PROGRAM, *map(str, words)], check=True, capture_output=True, text=True).stdout.splitlines()
    return [float(word) for line in lines if not line.startswith("[") for word in line.split()]


def drained(server, worker, queue, count):
    """Tasks per second and microseconds of CPU per task of a worker that finds `count` tasks waiting."""
    run("send", URL, queue, count)
    worker = worker()
    with worker:
        while server.llen(queue) > count - count // 20:  # it has begun
            time.sleep(0.001)
        left, begin, cpu = server.llen(queue), time.monotonic(), cpu_of(worker.process.pid)
        while server.llen(queue) > count // 20:
            time.sleep(0.001)
        done = left - server.llen(queue)
        seconds, cpu = time.monotonic() - begin, cpu_of(worker.process.pid) - cpu
    server.flushdb()
    return done / seconds, cpu / done * 1e6


def main():
    server = redis.Redis(port=int(PORT))
    with tempfile.TemporaryDirectory() as folder:
        count = 100_000
        wall, cpu, failed = run("send", URL, "sent", count)
        print(f"send   C++     {count / wall:10.0f} a second, {cpu / count * 1e6:6.1f} us of CPU a task" + (f", {failed:.0f} FAILED" if failed else ""))
        server.flushdb()
        few = 2_000
        begin, cpu = time.monotonic(), time.process_time()
        for _ in range(few):
            nothing.apply_async(queue="sent")
        wall, python_cpu = time.monotonic() - begin, time.process_time() - cpu
        print(f"send   Python  {few / wall:10.0f} a second, {python_cpu / few * 1e6:6.1f} us of CPU a task", flush=True)
        server.flushdb()

        rate, cpu = drained(server, lambda: cpp_worker("cpp"), "cpp", 100_000)
        print(f"run    C++     {rate:10.0f} a second, {cpu:6.1f} us of CPU a task", flush=True)
        rate, cpu = drained(server, lambda: python_worker("py", folder), "py", 5_000)
        print(f"run    Python  {rate:10.0f} a second, {cpu:6.1f} us of CPU a task, solo pool", flush=True)

        with cpp_worker("cpp"), python_worker("py", folder):
            for what, queue, number in (("C++ to C++", "cpp", 3000), ("C++ to Python", "py", 500)):
                run("latency", URL, queue, 50)
                median, late = run("latency", URL, queue, number)
                print(f"from send to result, {what:17} {median:7.0f} us, 99 % within {late:7.0f} us", flush=True)
            for what, queue in (("Python to C++", "cpp"), ("Python to Python", "py")):
                times = []
                for _ in range(500):
                    begin = time.monotonic()
                    nothing.apply_async(queue=queue).get(timeout=30)
                    times.append((time.monotonic() - begin) * 1e6)
                print(f"from send to result, {what:17} {statistics.median(times):7.0f} us, 99 % within {sorted(times)[len(times) * 99 // 100]:7.0f} us", flush=True)
    server.flushdb()


if __name__ == "__main__":
    main()
