"""Celery's side of a test: sends tasks to a worker in C++ and checks what comes back.

celery_peer.py MODE [ARGUMENT...]    exits with 0 where everything was as it should be
"""
import datetime
import decimal
import sys
import time
import uuid

from celery import chain, chord, group, signature
from celery.exceptions import (
    ChordError,
    MaxRetriesExceededError,
    NotRegistered,
    SoftTimeLimitExceeded,
    TaskRevokedError,
    TimeLimitExceeded,
    TimeoutError,
)
from celery.result import AsyncResult
from kombu.matcher import match

from celery_app import app

PROBLEMS = []


def check(holds, what):
    if not holds:
        PROBLEMS.append(what)
        print("WRONG:", what, flush=True)


def send(name, *args, **options):
    kwargs = options.pop("kwargs", {})
    options.setdefault("queue", "cpp")
    return app.send_task(name, args, kwargs, **options)


def cpp(name, *args, **options):
    immutable = options.pop("immutable", False)
    return signature(name, args=args, app=app, immutable=immutable, **options).set(queue="cpp")


def raised(result, timeout=20):
    """The exception that the caller sees."""
    try:
        value = result.get(timeout=timeout)
    except Exception as problem:  # whatever it is, it is the answer
        return problem
    return f"no exception, but {value!r}"


def basics():
    check(send("cpp.add", 2, 3).get(timeout=20) == 5, "add by position")
    check(send("cpp.add", 2, kwargs={"b": 3}).get(timeout=20) == 5, "add by name")
    check(send("cpp.add", kwargs={"b": 3, "a": 4}).get(timeout=20) == 7, "add by names")
    check(send("cpp.nothing").get(timeout=20) is None, "nothing")
    values = [1, -5, 1.5, "text", "äö€😀", "", True, None, [], {"a": [1, {}], "": 0}, 2**63, 1e300]
    echoed = send("cpp.echo", *values, kwargs={"x": 1, "y": [2]}).get(timeout=20)
    check(echoed == [values, {"x": 1, "y": [2]}], f"echo: {echoed!r}")
    strange = send("cpp.echo", float("nan"), float("inf"), -float("inf"), "\ud800x").get(timeout=20)[0]
    check(strange[0] != strange[0] and strange[1] == float("inf") and strange[2] == -float("inf") and strange[3] == "\ufffdx", f"beyond JSON: {strange!r}")
    moment = datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)
    typed = send("cpp.echo", moment, uuid.UUID(int=5), decimal.Decimal("1.50")).get(timeout=20)[0]  # newer versions wrap these
    check(typed in ([f"2026-01-02T00:00:00{zone}", str(uuid.UUID(int=5)), "1.50"] for zone in ("Z", "+00:00")), f"typed values: {typed!r}")
    check(send("cpp.coroutine", "a").get(timeout=20) == "a!", "coroutine")
    check(send("cpp.optional", 1).get(timeout=20) == [1, None], "an argument left out")
    check(send("cpp.keywords", 1, kwargs={"z": 2}).get(timeout=20) == {"z": 2}, "other keywords")

    for name, args, kwargs, text in [
        ("cpp.add", (1,), {}, "missing a required argument: 'b'"),
        ("cpp.add", (1, 2, 3), {}, "takes 2 positional arguments but 3 were given"),
        ("cpp.add", (1, 2), {"c": 3}, "unexpected keyword argument 'c'"),
        ("cpp.add", (1, 2), {"a": 3}, "multiple values for argument 'a'"),
        ("cpp.add", (1, "x"), {}, "argument 'b' does not fit"),
        ("cpp.add", (1, 1.5), {}, "argument 'b' does not fit"),
        ("cpp.add", (1, True), {}, "argument 'b' does not fit"),
        ("cpp.add", (1, 2**40), {}, "argument 'b' does not fit"),
    ]:
        problem = raised(send(name, *args, kwargs=kwargs))
        check(type(problem) is TypeError and text in str(problem), f"{args} {kwargs}: {problem!r}")

    problem = raised(send("cpp.fail", "ValueError"))
    check(type(problem) is ValueError and problem.args == ("bad", 42), f"a failure of Python's: {problem!r}")
    problem = raised(send("cpp.throw"))
    check(type(problem).__name__ == "runtime_error" and problem.args == ("thrown",), f"an exception of C++: {problem!r}")
    result = send("cpp.throw")
    raised(result)
    check("std::runtime_error: thrown" in result.traceback, f"traceback: {result.traceback!r}")
    problem = raised(send("cpp.no_such_task"))
    check(isinstance(problem, NotRegistered), f"unknown task: {problem!r}")
    check("unencodable" not in repr(raised(send("cpp.bytes"))), "a result that is not UTF-8")
    problem = raised(send("cpp.bytes"))
    check(type(problem).__name__ == "EncodeError", f"a result that is not UTF-8: {problem!r}")


def options():
    begin = time.time()
    check(send("cpp.add", 1, 1, countdown=0.5).get(timeout=20) == 2 and time.time() - begin >= 0.49, "countdown")
    eta = datetime.datetime.now(datetime.timezone(datetime.timedelta(hours=2))) + datetime.timedelta(seconds=0.5)
    begin = time.time()
    check(send("cpp.add", 1, 1, eta=eta).get(timeout=20) == 2 and time.time() - begin >= 0.45, "eta in another zone")
    problem = raised(send("cpp.add", 1, 1, expires=datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=5)))
    check(isinstance(problem, TaskRevokedError) and "expired" in str(problem), f"expired: {problem!r}")

    seen = send("cpp.describe", priority=5, headers={"color": "red"}, time_limit=30, soft_time_limit=20, retries=1).get(timeout=20)
    check(seen["retries"] == 1 and not seen["redelivered"] and seen["color"] == "red" and seen["has_deadline"], f"context: {seen!r}")
    check(seen["queue"] == "cpp", "queue")

    result = send("cpp.add", 1, 1, ignore_result=True)
    check(send("cpp.add", 1, 2).get(timeout=20) == 3 and AsyncResult(result.id, app=app).state == "PENDING", "ignored result")

    problem = raised(send("cpp.sleep", 60, soft_time_limit=0.2))
    check(isinstance(problem, SoftTimeLimitExceeded), f"soft limit: {problem!r}")
    problem = raised(send("cpp.stubborn", time_limit=0.3))
    check(isinstance(problem, TimeLimitExceeded), f"hard limit: {problem!r}")

    result = send("cpp.retry", 2)
    check(result.get(timeout=20) == 2, "retry")
    problem = raised(send("cpp.retry", 100))
    check(isinstance(problem, MaxRetriesExceededError), f"too many retries: {problem!r}")
    check(send("cpp.flaky", "flaky-key").get(timeout=20) == "at last", "retry on failure")

    result = send("cpp.progress", "progress-key")
    give_up = time.time() + 20
    while result.state != "PROGRESS" and time.time() < give_up:
        time.sleep(0.01)
    check(result.info == {"done": 7}, f"progress: {result.state} {result.info!r}")
    app.backend.client.set("progress-key", 1)
    check(result.get(timeout=20) == "done", "after progress")


def canvas():
    """Tasks of both worlds put together by Python."""
    check(chain(cpp("cpp.add", 1, 2), signature("py.add", (10,), app=app), cpp("cpp.add", 100)).apply_async().get(timeout=20) == 113, "chain")
    check(chain(signature("py.add", (1, 2), app=app), cpp("cpp.add", 10)).apply_async().get(timeout=20) == 13, "chain from Python")
    check(chain(cpp("cpp.add", 1, 2), cpp("cpp.add", 5, 6, immutable=True)).apply_async().get(timeout=20) == 11, "immutable")
    result = chain(cpp("cpp.fail", "ValueError"), signature("py.add", (1,), app=app), cpp("cpp.add", 1)).apply_async()
    problem = raised(result)
    check(isinstance(problem, ValueError), f"broken chain: {problem!r}")
    check(group(*[cpp("cpp.add", i, 1) for i in range(5)]).apply_async().get(timeout=20) == [1, 2, 3, 4, 5], "group")

    mixed = [cpp("cpp.add", i, 1) if i % 2 else signature("py.add", (i, 1), app=app) for i in range(6)]
    check(chord(mixed)(signature("py.total", app=app)).get(timeout=20) == 21, "chord of both, body in Python")
    check(chord(mixed)(cpp("cpp.total")).get(timeout=20) == 21, "chord of both, body in C++")
    check(chord([cpp("cpp.add", 1, 1)] * 1)(cpp("cpp.total")).get(timeout=20) == 2, "chord of one")
    chained = chord([chain(cpp("cpp.add", 1, 1), cpp("cpp.add", 1)), chain(signature("py.add", (1, 1), app=app), cpp("cpp.add", 1))])
    check(chained(cpp("cpp.total")).get(timeout=20) == 6, "chord of chains")
    give_up = time.time() + 10
    while app.backend.client.keys("celery-taskset-meta-*") and time.time() < give_up:
        pass
    check(app.backend.client.keys("celery-taskset-meta-*") == [], "what chords need is removed")
    for failing in (cpp("cpp.fail", "ValueError"), signature("py.fail", app=app)):
        for body in (cpp("cpp.total"), signature("py.total", app=app)):
            result = chord([cpp("cpp.add", 1, 1), failing, signature("py.add", (1, 1), app=app)])(body)
            problem = raised(AsyncResult(result.id, app=app))
            check(isinstance(problem, ChordError) and "ValueError('bad', 42)" in str(problem), f"broken chord: {problem!r}")

    client = app.backend.client
    client.delete("noted")
    send("cpp.add", 1, 2, link=signature("py.note", ("after",), app=app)).get(timeout=20)
    check(client.blpop("noted", 10)[1] == b"(3, 'after')", "link")
    failed = send("cpp.fail", "ValueError", link_error=signature("py.note_id", app=app))
    raised(failed)
    check(client.blpop("noted", 10)[1] == failed.id.encode(), "link_error")
    app.send_task("py.add", (1, 2), link=cpp("cpp.note", "cpp")).get(timeout=20)
    check(client.blpop("noted", 10)[1] == b'[3,"cpp"]', "link to C++")
    failed = app.send_task("py.fail", (), link_error=cpp("cpp.note"))
    raised(failed)
    check(client.blpop("noted", 10)[1] == f'["{failed.id}"]'.encode(), "link_error to C++")
    result = send("cpp.add", 1, 2, link=group(signature("py.note", app=app), signature("py.note", app=app)))
    problem = raised(result)
    check(isinstance(problem, NotImplementedError), f"a group can't follow: {problem!r}")


def await_scheduled(inspect, node):
    """Until the worker tells of a task that is not due yet. No answer in time is none yet."""
    give_up = time.time() + 10
    while not (inspect.scheduled() or {}).get(node) and time.time() < give_up:
        pass


def control():
    node = sys.argv[2]
    inspect = app.control.inspect(destination=[node], timeout=2)
    check(inspect.ping() == {node: {"ok": "pong"}}, "ping")
    check("cpp.add" in inspect.registered()[node], "registered")
    held = send("cpp.hold", "control-key")
    client = app.backend.client
    check(client.blpop("running", 20)[1] == held.id.encode(), "it runs")
    check([entry["id"] for entry in inspect.active()[node]] == [held.id], "active")
    later = send("cpp.add", 1, 1, countdown=100)
    await_scheduled(inspect, node)
    check([entry["request"]["id"] for entry in inspect.scheduled()[node]] == [later.id], "scheduled")
    later.revoke()
    problem = raised(later)
    check(isinstance(problem, TaskRevokedError), f"revoked: {problem!r}")
    check(later.id in inspect.revoked()[node], "revoked ids")
    check(inspect.active_queues()[node][0]["name"] == "cpp", "active queues")
    stats = inspect.stats()[node]
    check(stats["pool"]["max-concurrency"] >= 1 and "total" in stats, "stats")
    check(app.control.revoke(held.id, terminate=True, reply=True, destination=[node], timeout=2)[0][node]["ok"].endswith("terminated"), "terminate")
    problem = raised(held)
    check(isinstance(problem, TaskRevokedError) and "terminated" in str(problem), f"terminated: {problem!r}")
    check("error" in app.control.broadcast("no_such_command", reply=True, destination=[node], timeout=2)[0][node], "unknown command")
    check(app.control.ping(timeout=2) == [{node: {"ok": "pong"}}], "ping of all")


def patterns():
    """A command with a pattern is for the worker where kombu says that the name fits."""
    node = sys.argv[2]

    def answers(limit, **which):
        return app.control.broadcast("ping", reply=True, timeout=20 if limit else 0.3, limit=limit, **which)

    for pattern, matcher in [
        (node, "glob"), ("*", "glob"), (f"{node[0]}*", "glob"), ("[!x]*@*", "glob"), (node.upper(), "glob"), ("other*", "glob"), ("", "glob"),
        (f"{node[:3]}@", "pcre"), (".*", "pcre"), (node[1:], "pcre"), ("(web|other)@", "pcre"),
    ]:
        fits = not pattern or bool(match(node, pattern, matcher))
        got = answers(1 if fits else None, pattern=pattern, matcher=matcher)
        check(got == ([{node: {"ok": "pong"}}] if fits else []), f"pattern {pattern!r}, {matcher}: {got!r}")
    for which in [
        {"pattern": "*", "matcher": "mine"}, {"pattern": "(", "matcher": "pcre"}, {"pattern": "(c+)+$", "matcher": "pcre"}, {"pattern": "other*"},
        {"destination": ["other@host"], "pattern": "*", "matcher": "glob"},
    ]:
        check(answers(None, **which) == [], f"nobody: {which}")
    check(answers(1, destination=[node], pattern="other*", matcher="glob") == [{node: {"ok": "pong"}}], "a name goes before a pattern")
    app.control.broadcast("shutdown", pattern="other*", matcher="glob")
    app.control.broadcast("shutdown", pattern="x*", matcher="mine")
    app.control.broadcast("shutdown", destination=["other@host"])
    time.sleep(0.3)
    check(answers(1) == [{node: {"ok": "pong"}}], "it is not told to stop")
    app.control.broadcast("shutdown", pattern=f"{node[:3]}*", matcher="glob")


def ids():
    """Any text may be an id."""
    for number, name in enumerate(["two words", " ", "äö€😀", "'\"\\\\{}*?[%s", "x" * 256]):
        task_id = name if len(name) == 256 else f"{name}-{number}"
        result = send("cpp.add", number, 1, task_id=task_id)
        check(result.id == task_id and result.get(timeout=20) == number + 1, f"id {task_id!r}")
        problem = raised(send("cpp.fail", "ValueError", task_id=task_id[:-1]))
        check(isinstance(problem, ValueError), f"failure of id {task_id[:-1]!r}: {problem!r}")
    later = send("cpp.add", 1, 1, countdown=100, task_id="later, wörd")
    node = sys.argv[2]
    await_scheduled(app.control.inspect(destination=[node], timeout=2), node)
    later.revoke()
    check(isinstance(raised(later), TaskRevokedError), "revoked by such an id")


def bytes_of_failures():
    """Failures whose text is not UTF-8, and others that could not be stored as they are."""
    for name in ["message", "argument", "key", "type", "module", "traceback", "exception", "reason", "deep", "large"]:
        problem = raised(send("cpp.bad_failure", name))
        check(isinstance(problem, Exception) and not isinstance(problem, TimeoutError), f"{name}: {repr(problem)[:200]}")
        if name in ("message", "argument", "exception"):
            check("\ufffd" in str(problem), f"{name}: {problem!r}")
    problem = raised(send("cpp.add", 1, kwargs={"x" * 60 + "äää": 1}))
    check(type(problem) is TypeError and "x" * 60 + "..." in str(problem), f"a long name: {problem!r}")


def prefixed():
    check(send("cpp.add", 2, 3).get(timeout=20) == 5, "add behind a prefix")
    check(chain(cpp("cpp.add", 1, 2), signature("py.add", (10,), app=app)).apply_async().get(timeout=20) == 13, "chain behind a prefix")
    check({"ok": "pong"} in app.control.inspect(timeout=1).ping().values(), "ping behind a prefix")


def many():
    count = int(sys.argv[2])
    begin = time.time()
    results = [send("cpp.add", i, 1) for i in range(count)]
    wrong = sum(1 for i, result in enumerate(results) if result.get(timeout=60) != i + 1)
    check(wrong == 0, f"{wrong} of {count} are wrong")
    print(f"[ celery   ] {count} tasks from Python to C++ and back in {time.time() - begin:.1f} s", flush=True)


def priorities():
    """Sends behind one that holds the only place: the more urgent are served first, whenever they came."""
    client = app.backend.client
    client.delete("order", "priority-key", "running")
    held = send("cpp.hold", "priority-key")
    client.blpop("running", 20)
    for number, priority in enumerate([9, 6, 3, 0, 9, 6, 3, 0]):
        send("cpp.order", f"{priority}:{number}", priority=priority)
    client.set("priority-key", 1)
    held.get(timeout=20)
    got = [client.blpop("order", 20)[1].decode() for _ in range(8)]
    check(got == ["0:3", "0:7", "3:2", "3:6", "6:1", "6:5", "9:0", "9:4"], f"order: {got}")


globals()[sys.argv[1]]()
sys.exit(1 if PROBLEMS else 0)
