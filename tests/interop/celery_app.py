"""The Celery application of the tests: tasks in Python, on the servers that the environment names."""
import os
import time

from celery import Celery
from celery.exceptions import Ignore

app = Celery("py", broker=os.environ["BROKER"], backend=os.environ["BACKEND"])
app.conf.broker_transport_options = {"visibility_timeout": int(os.environ.get("VISIBILITY", "3600"))}
if os.environ.get("PREFIX"):
    app.conf.broker_transport_options["global_keyprefix"] = os.environ["PREFIX"]
app.conf.worker_prefetch_multiplier = int(os.environ.get("PREFETCH", "4"))
app.conf.task_acks_late = bool(os.environ.get("ACKS_LATE"))
app.conf.broker_connection_retry_on_startup = True
app.conf.task_default_queue = os.environ.get("QUEUE", "celery")


@app.task(name="py.add")
def add(x, y=0, scale=1):
    return (x + y) * scale


@app.task(name="py.echo")
def echo(*args, **kwargs):
    return [list(args), kwargs]


@app.task(name="py.total")
def total(numbers):
    return sum(numbers)


@app.task(name="py.fail")
def fail(*args):
    raise ValueError("bad", 42)


@app.task(name="py.nothing")
def nothing():
    return None


@app.task(name="py.strange")
def strange(kind):
    return {"nan": float("nan"), "infinity": [float("-inf")], "surrogate": "\ud800x", "big": 2**70}[kind]


@app.task(name="py.describe", bind=True)
def describe(self):
    request = self.request
    return {
        "id": request.id,
        "retries": request.retries,
        "eta": request.eta,
        "expires": request.expires,
        "priority": request.delivery_info.get("priority"),
        "routing_key": request.delivery_info.get("routing_key"),
        "redelivered": bool(request.delivery_info.get("redelivered")),
        "timelimit": request.timelimit,
        "root_id": request.root_id,
        "parent_id": request.parent_id,
        "origin": request.origin,
        "color": getattr(request, "color", None),
        "argsrepr": request.argsrepr,
    }


@app.task(name="py.progress", bind=True)
def progress(self, key):
    """Says how far it is, and goes on when the key is there."""
    self.update_state(state="PROGRESS", meta={"done": 7})
    server = app.backend.client
    give_up = time.monotonic() + 20
    while not server.exists(key) and time.monotonic() < give_up:
        time.sleep(0.01)
    return "done"


@app.task(name="py.retry", bind=True, max_retries=3)
def retry(self, until):
    if self.request.retries < until:
        raise self.retry(countdown=0)
    return self.request.retries


@app.task(name="py.note")
def note(*args):
    """Appends what it is called with to a list, for a test to read."""
    app.backend.client.rpush("noted", repr(args))
    return len(args)


@app.task(name="py.note_id")
def note_id(task_id):
    app.backend.client.rpush("noted", task_id)


@app.task(name="py.hold", bind=True)
def hold(self, key):
    """Says that it runs, and holds on until the key is there."""
    server = app.backend.client
    server.rpush("running", self.request.id)
    give_up = time.monotonic() + 30
    while not server.exists(key) and time.monotonic() < give_up:
        time.sleep(0.01)
    return bool(self.request.delivery_info.get("redelivered"))


@app.task(name="py.ignore")
def ignore():
    raise Ignore()
