"""The Python service beside the C++ one: json.dumps and json.loads on the same keys.

peer.py write PORT    stores every value of values.json, and some that C++ can't share
peer.py check PORT    reads what C++ stored and compares
"""
import json
import math
import os
import sys

import redis

TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "values.json")


def same(left, right):
    """Equal in value and in kind: 1 is not 1.0, and not True."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right))
    if isinstance(left, float):
        return left == right and math.copysign(1, left) == math.copysign(1, right)
    return left == right


def main():
    mode, port = sys.argv[1], int(sys.argv[2])
    server = redis.Redis(host="127.0.0.1", port=port)
    with open(TABLE, encoding="utf-8") as file:
        values = json.load(file)

    if mode == "write":
        for name, value in values.items():
            server.setex("py:" + name, 300, json.dumps(value))
            server.setex("py-utf8:" + name, 300, json.dumps(value, ensure_ascii=False, indent=2))
        server.setex("py-only:nan", 300, json.dumps(float("nan")))
        server.setex("py-only:infinity", 300, json.dumps([float("inf")]))
        server.setex("py-only:surrogate", 300, json.dumps("\ud800"))
        server.setex("py-only:beyond_64_bits", 300, json.dumps(2**70))
        return 0

    wrong = 0
    for name, value in values.items():
        stored = server.get("cpp:" + name)
        if stored is None or not same(json.loads(stored), value):
            print(f"{name}: {stored!r} is not {value!r}")
            wrong += 1
        if not 0 < server.ttl("cpp:" + name) <= 300:
            print(f"{name}: ttl {server.ttl('cpp:' + name)}")
            wrong += 1
    if json.loads(server.get("cpp:nan")) is not None:
        print("nan: not null")
        wrong += 1
    return 1 if wrong else 0


sys.exit(main())
