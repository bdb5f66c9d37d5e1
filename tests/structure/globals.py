"""Checks that the library keeps no state of its own between clients: what is writable and static in programs that together use all of it.

globals.py NM PROGRAM...
"""
import re
import subprocess
import sys

# Each is the same for everybody, and written at most once, when it is made.
KNOWN = [
    r"luzia::error_category\(\)::category",
    r"luzia::server_error_category\(\)::category",
    r"luzia::celery::task_error_category\(\)::category",
    r"luzia::redis::ContextService::id",
    r"luzia::hiredis::Reader::create\(luzia::hiredis::Reader&\)::functions",
    # Each thread's own, and set only while a call of a strand is on its stack.
    r"luzia::redis::Strand::current",
    r"luzia::redis::Strand::scheduling",
    r"luzia::redis::Burst::current",
    # While a turn of a client is.
    r"luzia::cache::Completions::Running::current",
    # Each thread's own: memory for its next document.
    r"luzia::codec::KeptBuilder<.*>::kept",
    r"luzia::codec::KeptBuilder<.*>::is_over",
    r"luzia::codec::KeptBuilder<.*>::give_back\(.*\)::freed_then",
]
GUARD = re.compile(r"^guard variable for ")


def main():
    nm, *programs = sys.argv[1:]
    symbols = [subprocess.run([nm, "--demangle", "--format=sysv", program], check=True, capture_output=True, text=True).stdout for program in programs]
    ours, unknown = set(), set()
    for line in "\n".join(symbols).splitlines():
        fields = [field.strip() for field in line.rsplit("|", 6)]
        # Sections that can be written to; what is constant lies in others.
        if len(fields) != 7 or fields[6] not in (".data", ".bss", ".tdata", ".tbss"):
            continue
        name = GUARD.sub("", re.sub(r"\[abi:[a-z0-9]+\]", "", fields[0]))
        if not name.startswith("luzia::"):
            continue
        ours.add(name)
        if not any(re.fullmatch(known, name) for known in KNOWN):
            unknown.add(name)
    print("\n".join(f"static and writable: {name}" for name in sorted(unknown)) or f"{len(ours)} known statics, and no other")
    # Without any, the program is not what it should be, and nothing was checked.
    return 1 if unknown or len(ours) < len(KNOWN) else 0


sys.exit(main())
