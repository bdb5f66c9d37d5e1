# counts.py: what one operation costs, counted and not timed: the difference between a long run and a short one, divided by their lengths'.
#   counts.py BUILD PORT CONTESTANT OPERATION DEPTH [VALUE_BYTES [WHAT...]]    WHAT: memory, copies, pending, instructions, calls
import re
import subprocess
import sys
import tempfile

build, port, contestant, operation, depth = sys.argv[1:6]
value_bytes = int(sys.argv[6]) if len(sys.argv) > 6 else 100
kinds = sys.argv[7:] or ["memory", "instructions", "calls"]
program = build + ("/boost_redis" if contestant == "Boost.Redis" else "/throughput")


def run(total, *before):
    command = [*before, program, port, contestant, operation, depth, str(total), str(value_bytes)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stderr


def memory(total):
    text = run(total, "env", f"LD_PRELOAD={build}/counted.so")
    return dict((unit, float(value)) for unit, value in re.findall(r"^(.*),(\d+)$", text, re.M))


def instructions(total):
    text = run(total, "valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null")
    return {"instructions": float(re.search(r"Collected : (\d+)", text).group(1))}


def calls(total):
    with tempfile.NamedTemporaryFile("r") as log:
        run(total, "strace", "-f", "-c", "-o", log.name)
        rows = [line.split() for line in log if re.match(r"\s*\d+\.\d+ ", line)]
    counted = {row[-1]: float(row[3]) for row in rows}
    total_calls = counted.pop("total")
    return {"system calls": total_calls, "futex calls": counted.get("futex", 0.0)}


# Of a run with so many pending at once, the most that it holds: differences of that are what one costs.
def pending(count):
    command = ["env", f"LD_PRELOAD={build}/counted.so", program, port, contestant, operation, str(count), str(count), str(value_bytes)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    return {"bytes pending": float(re.search(r"most held,(\d+)", text).group(1))}


copies = memory
lengths = {"pending": (1_000, 10_000), "memory": (20_000, 60_000), "instructions": (2_000, 6_000), "calls": (5_000, 20_000)}
lengths["copies"] = (100, 300) if value_bytes > 100_000 else (5_000, 15_000)
for kind in kinds:
    short, long = lengths[kind]
    less, more = globals()[kind](short), globals()[kind](long)
    for unit, value in more.items():
        if unit == "most held" or (kind == "copies" and unit != "copied"):
            continue
        each = (value - less.get(unit, 0.0)) / (long - short)
        if unit == "copied":
            print(f"bytes copied per byte,{each / value_bytes:.4g}" if value_bytes > 100 else f"bytes copied,{each:.4g}")
        else:
            print(f"{unit},{max(each, 0):.4g}")
