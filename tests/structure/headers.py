"""Compiles each header alone, and all of them once without run-time type information. It takes what the tests beside it leave of the processor.

headers.py COMPILER INCLUDE_DIRECTORY
"""
import concurrent.futures
import contextlib
import os
import pathlib
import subprocess
import sys

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]
# Where the engine is compiled apart.
APART = ["luzia/src.hpp", "luzia/cache_client.hpp", "luzia/luzia.hpp", "luzia/tls.hpp"]


def compile_one(compiler, root, header, extra):
    command = [compiler, "-std=c++20", "-fsyntax-only", *WARNINGS, *extra, f"-I{root}", "-x", "c++", "-"]
    if "clang" not in os.path.basename(compiler):
        command.insert(1, "-Wno-mismatched-new-delete")  # false, about Asio's coroutines
    # Twice: a header without its guard would not survive it.
    source = f"#include <{header}>\n#include <{header}>\nint main() {{}}\n"
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
    return header, " ".join(extra), done.returncode, done.stderr


def main():
    compiler, root = sys.argv[1], pathlib.Path(sys.argv[2])
    flags = subprocess.run(["pkg-config", "--cflags", "spdlog"], capture_output=True, text=True, check=True).stdout.split()
    headers = sorted(path.relative_to(root).as_posix() for path in (root / "luzia").rglob("*.hpp"))
    apart = ["-DLUZIA_SEPARATE_COMPILATION"]
    jobs = [(header, flags) for header in headers if header != "luzia/src.hpp"]
    jobs += [("luzia/luzia.hpp", [*flags, "-fno-rtti"]), *((header, [*flags, *apart]) for header in APART)]
    failures = 0
    with contextlib.suppress(AttributeError, OSError):  # not every system allows it
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for header, extra, code, errors in pool.map(lambda job: compile_one(compiler, root, *job), jobs):
            if code != 0:
                failures += 1
                print(f"{header} {extra}\n{errors}")
    print(f"{len(jobs) - failures} of {len(jobs)} compile alone")
    return 1 if failures or not headers else 0


sys.exit(main())
