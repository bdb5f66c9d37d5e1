"""Runs all four together: a worker in Python, a worker in C++, the service in C++, a client in Python.

together.py PROGRAM      PROGRAM is the built celery.cpp; REDIS_URL says where Redis is
"""
import os
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
LIMIT = 60  # seconds, for each step


def main():
    program = sys.argv[1]
    url = os.environ.get("REDIS_URL", "redis://localhost:6379")
    if url.startswith("unix://"):  # as Celery writes it
        url = "redis+socket://" + url.removeprefix("unix://")
    environment = dict(os.environ, CELERY_BROKER_URL=url, CELERY_RESULT_BACKEND=url, PYTHONPATH=str(HERE), PYTHONDONTWRITEBYTECODE="1")
    python = ["/usr/bin/python3", "-W", "ignore"]
    workers = []
    with tempfile.TemporaryDirectory() as folder:
        log = pathlib.Path(folder, "worker.log")
        try:
            command = [*python, "-m", "celery", "-A", "tasks", "worker", "-P", "solo", "-l", "INFO", "--logfile", str(log)]
            workers.append(subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            workers.append(subprocess.Popen([program, "worker"], env=environment, stdin=subprocess.DEVNULL))
            give_up = time.monotonic() + LIMIT
            while not (log.exists() and "ready." in log.read_text()):
                if time.monotonic() > give_up or workers[0].poll() is not None:
                    sys.exit("Celery's worker does not start")
                time.sleep(0.05)
            for command in ([program, "service"], [*python, str(HERE / "tasks.py")]):
                subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=True, timeout=LIMIT)
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                try:
                    worker.wait(LIMIT)
                except subprocess.TimeoutExpired:
                    worker.kill()
                    worker.wait()


main()
