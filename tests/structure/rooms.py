"""Checks the rooms of the house: include arrows go down only, hiredis stays in its room, each header says what it is.

rooms.py INCLUDE_DIRECTORY
"""
import pathlib
import re
import sys

# Which rooms a room may look into, itself aside.
MAY_INCLUDE = {
    "core": set(),
    "hiredis": {"core"},
    "redis": {"core", "hiredis"},
    "codec": {"core"},
    "backend": {"core", "hiredis", "redis"},
    "cache": {"core", "hiredis", "redis", "codec", "backend"},
    "celery": {"core", "hiredis", "redis"},
}
LONGEST = 400
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)


def problems_of(path, root):
    name = path.relative_to(root).as_posix()
    text = path.read_text(encoding="utf-8")
    room = name.split("/")[0] if "/" in name else None
    first, _, rest = text.partition("\n")
    if not re.fullmatch(r"// " + re.escape(name) + r": \S.+\.", first):
        yield f"the first line is not '// {name}: what lives here.'"
    if not rest.startswith("#pragma once\n"):
        yield "the second line is not #pragma once"
    if text.count("\n") > LONGEST:
        yield f"longer than {LONGEST} lines"
    if room is not None and room not in MAY_INCLUDE:
        yield f"room {room} is not in the plan"
        return
    for included in INCLUDE.findall(text):
        if included.startswith("hiredis/") and room != "hiredis":
            yield f"includes <{included}> outside the room hiredis"
        if not included.startswith("luzia/"):
            continue
        target = included.removeprefix("luzia/")
        if not (root / target).is_file():
            yield f"includes <{included}>, which is not there"
        if room is None:
            continue
        other = target.split("/")[0] if "/" in target else None
        if other is None:
            yield f"includes <{included}> from below"
        elif other != room and other not in MAY_INCLUDE[room]:
            yield f"room {room} may not include <{included}>"


def main():
    root = pathlib.Path(sys.argv[1]) / "luzia"
    headers = sorted(root.rglob("*.hpp"))
    problems = [f"{path.relative_to(root)}: {problem}" for path in headers for problem in problems_of(path, root)]
    print("\n".join(problems) if problems else f"{len(headers)} headers in their rooms")
    return 1 if problems or not headers else 0


sys.exit(main())
