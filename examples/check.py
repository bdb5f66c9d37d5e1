#!/usr/bin/env python3
"""Runs one example on a Redis of its own and checks what it prints.

    check.py NAME BINARY

The example finds the server in REDIS_URL and its process id in LUZIA_EXAMPLE_REDIS_PID: it may stop and kill it. The lines expected of NAME
are regular expressions, each for a whole line, found in this order; other lines (the library's log) may stand between.
"""
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

LIMIT = 60  # seconds, for one run
TTL = 120  # CACHE_TTL


class Run:
    """One run of an example: what it prints, and what else must hold of that.

    server: "named" where the example learns its process id, "unnamed" where it does not, "down" where nothing listens.
    """

    def __init__(self, *lines, server="named", check=None):
        self.lines = lines
        self.server = server
        self.check = check


def cache_is_faster(found):
    """The second read, from the cache, against the first, from the database."""
    first, second = (float(found[i].group("ms")) for i in (0, 1))
    return None if second < first else f"the second read took {second} ms, the first {first} ms"


def reads_are_quick(found):
    """No read waits much longer than its time-out of 100 ms while the server is frozen for 1500; the margin is for busy machines."""
    slowest = int(found[-2].group("ms"))
    return None if slowest < 1000 else f"a read took {slowest} ms"


def read(label, source, orders, customers, cents, outcome):
    answer = f"{orders} orders, {customers} customers, {cents} cents"
    return rf"{label} +{source} +(?P<ms>[\d.]+) ms   {answer} \(outcome: {outcome}\)"


WITH_REDIS = (
    read("first read", "database", 30000, 30000, 137040000, "miss"),
    read("second read", "cache", 30000, 30000, 137040000, "hit"),
    read("after an order", "database", 30001, 30001, 137040500, "miss"),
    read("one more read", "cache", 30001, 30001, 137040500, "hit"),
)
WITHOUT_REDIS = (
    read("without Redis", "database", 30001, 30001, 137040500, "unavailable"),
    read("one order more", "database", 30002, 30001, 137041000, "unavailable"),
)

# Where it takes more than the one program.
COMMANDS = {"celery": ["/usr/bin/python3", os.path.join(os.path.dirname(os.path.abspath(__file__)), "celery", "together.py")]}

EXAMPLES = {
    "quickstart": [
        Run(
            r"stored:  yes",
            r"typed:   acme has 50",
            r'json:    \{"org":"acme","total":50\}',
            r"erased:  yes, still there: no",
            rf"lives:   {TTL} s",
            r"removed: 2 keys of org 123; org 7 has 3 members",
        ),
        Run(
            r"stored:  no",
            r"typed:   nothing",
            r"json:    nothing",
            r"erased:  no, still there: no",
            r"lives:   not",
            r"removed: 0 keys of org 123; org 7 has nothing",
            server="down",
        ),
    ],
    "cache_aside": [
        Run(*WITH_REDIS, r"-- killing Redis", *WITHOUT_REDIS, check=cache_is_faster),
        Run(*WITH_REDIS, r"-- leaving Redis alone; .*", *WITHOUT_REDIS, server="unnamed", check=cache_is_faster),
    ],
    "shared_client": [
        Run(
            *(rf"worker {worker}: stored 500, read back 500, wrong 0, missed 0" for worker in range(4)),
            r"removed 2000 keys",
            r"client: 2000 stored, 2000 hits, 0 misses, 2000 erased, 0 failures, ready",
        )
    ],
    "callbacks_and_futures": [
        Run(
            r"future: stored 1 key",
            r"future: visits is 41",
            r"callback: visits is 41, on the thread of the io_context: yes",
            r"callback: stored 1 key, outcome done",
            r"bound callback: visits is 42, on the thread of the io_context: no",
            r"detached: drained yes, session 99 is 99",
            r"detached: drained yes, 100 keys erased",
        )
    ],
    "own_types_and_codec": [
        Run(
            r'stored:     \{"name":"acme","plan":"team","quota":"1h30m","tags":\["new"\]\}',
            r"read:       acme, 90 minutes",
            r'versioned:  v1:\{"name":"acme"\.\.\.',
            r"schema 1:   hit",
            r"schema 2:   undecodable",
            r"1000 numbers: \d{4} bytes as JSON, [23]\d{3} as CBOR, 2000 as they are",
            r"CBOR, read back the same: yes",
        )
    ],
    "celery": [
        Run(
            r"service: Python says that \(2 \+ 3\) \* 10 is 50",
            r"service: Python raised ZeroDivisionError: division by zero",
            r"service: below 4 \+ 5 there are 4 primes",
            r"service: ten sums come to 110",
            r"service: timed out",
            r"python:  C\+\+ counts \{'be': 2, 'not': 1, 'or': 1, 'to': 2\}",
            r"python:  C\+\+ finds 9592 primes",
            r"python:  C\+\+ raised ValueError: a text without words",
            r"python:  primes below 100, and 1000: 1025",
            r"worker:  stopped",
        )
    ],
    "outage": [
        Run(
            r" *[\d.]+ s  outcome: hit, counter 7",
            r" *[\d.]+ s  -- freezing Redis",
            r" *[\d.]+ s  outcome: hit -> (timed_out|unavailable) \(.+\)",
            r" *[\d.]+ s  -- waking Redis",
            r" *[\d.]+ s  outcome: (timed_out|unavailable) -> hit, counter 7",
            r" *[\d.]+ s  \d+ reads, the slowest took (?P<ms>\d+) ms",
            r" *[\d.]+ s  [1-9]\d* hits, [1-9]\d* misses, \d+ of them timed out, ready",
            check=reads_are_quick,
        ),
        Run(
            r".*LUZIA_EXAMPLE_REDIS_PID names no process: .*",
            r" *[\d.]+ s  outcome: unavailable \(.+\)",
            r" *[\d.]+ s  ([1-9]|10) reads, the slowest took \d+ ms",
            server="unnamed",
        ),
    ],
}


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as peer:
        peer.sendall(b"PING\r\n")
        return peer.recv(64).startswith(b"+PONG")
    return False


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def stop(server):
    # Not yet waited for, so the id is still the server's, even where the example has killed it.
    if server.poll() is None:
        server.send_signal(signal.SIGCONT)
        server.kill()
        server.wait()


@contextlib.contextmanager
def redis():
    """A private server, as (process, port)."""
    with tempfile.TemporaryDirectory(prefix="luzia-example-") as folder:
        for _ in range(5):  # somebody else may take the free port first
            port = free_port()
            settings = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", folder]
            with open(os.path.join(folder, "log"), "wb") as log:
                server = subprocess.Popen(["redis-server", *settings], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                give_up = time.monotonic() + 10
                while server.poll() is None and time.monotonic() < give_up:
                    if answers(port):
                        yield server, port
                        return
                    time.sleep(0.02)
            finally:
                stop(server)
        with open(os.path.join(folder, "log"), encoding="utf-8", errors="replace") as log:
            sys.exit("redis-server does not start:\n" + log.read())


def problems_of(run, output):
    """What is wrong with the output; nothing where it is as expected."""
    lines = iter(output.splitlines())
    found = []
    for expected in run.lines:
        match = next((match for match in (re.fullmatch(expected, line) for line in lines) if match), None)
        if match is None:
            return [f"no line (after those before it) matches: {expected}"]
        found.append(match)
    problem = run.check(found) if run.check else None
    return [problem] if problem else []


def perform(run, binary):
    """The problems, and the whole output."""
    with redis() as (server, port):
        environment = dict(os.environ, REDIS_URL=f"redis://127.0.0.1:{port}", CACHE_TTL=str(TTL))
        environment.pop("LUZIA_EXAMPLE_REDIS_PID", None)
        if run.server == "named":
            environment["LUZIA_EXAMPLE_REDIS_PID"] = str(server.pid)
        if run.server == "down":
            stop(server)
        try:
            done = subprocess.run(
                COMMANDS.get(os.path.basename(binary), []) + [binary], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT
            )
            status, out, err, problems = done.returncode, done.stdout, done.stderr, []
            if status != 0:
                problems.append(f"exit code {status}")
        except subprocess.TimeoutExpired as late:
            out, err, problems = late.stdout or b"", late.stderr or b"", [f"still running after {LIMIT} s"]
    out, err = (text.decode("utf-8", "replace") for text in (out, err))
    return problems + problems_of(run, out), out + ("\n--- standard error\n" + err if err else "")


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in EXAMPLES:
        sys.exit(f"usage: check.py NAME BINARY, where NAME is one of: {', '.join(EXAMPLES)}")
    name, binary = sys.argv[1], os.path.abspath(sys.argv[2])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that the server is stopped as well
    failed = False
    for run in EXAMPLES[name]:
        problems, output = perform(run, binary)
        failed = failed or bool(problems)
        print(f"{name}, server {run.server}: {'FAILED' if problems else 'ok'}")
        for problem in problems:
            print(f"  {problem}")
        print(output)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
