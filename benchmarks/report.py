# report.py: figures to one table: medians, spreads, ratios. Writes the results as CSV and, where asked, docs/benchmarks.md, .csv and .svg.
#   report.py RAW_FOLDER RESULTS.csv BOOST_INCLUDE [docs]
import csv
import datetime
import os
import statistics
import sys

import chart
import machine

raw, results, boost_include = sys.argv[1:4]
is_for_docs = len(sys.argv) > 4

# Part, heading, what it says.
PARTS = [
    ("throughput", "Raw GET and SET", "100 bytes, one connection, one client thread; server and client are bound to a core each. The floor is a loop written by hand over `redisReader` and Asio that does nothing else: it makes its command once, sends the next ones from inside a read, copies no value that it sends, and knows no deadlines, cancellation, reconnecting or other threads. Ratios are to it."),
    ("typed", "Typed GET of JSON", "A document of 437 bytes as a struct. The floor here: the loop above, then `nlohmann::json::parse(text).get<T>()`."),
    ("values", "Larger values", "64 in flight, of 256 KiB 16, of 1 MiB 8. The floor sends a value of 8 KiB and more from where it is, again and again, and takes what it reads around hiredis from there on. Given away: each value is made for its SET, and the caller keeps none; the floor makes a command for each, and keeps it until the reply is there. Copies are those in the client's own memory that `memcpy`, `memmove` and `realloc` make, the kernel's left out: counted in two runs of different lengths, the difference divided by the bytes of the values."),
    ("threads", "One client shared by threads", "One `io_context`, run by 1 or 4 threads; neither they nor the server are bound to a core here: four threads on what the server leaves of two cores would take turns and never meet. Ratios are to one thread and one connection. By hand: the floor's loop, one for each connection, which share nothing, each on a strand where four threads run their context. Mutexes are all that the process takes, Asio's included: how often, how often somebody else had it, and for how long it was held (with what watching costs). Under strace threads are slow and meet more rarely; futex calls are Asio's too, which wakes threads with them."),
    ("counts", "Counted per operation", "Not timed: the difference of two runs of different lengths, divided by the operations between them. Instructions by callgrind, system calls by strace, allocations and memory by wrapping malloc. Memory of a pending operation includes its coroutine, its command and the value that it waits for."),
    ("latency", "Latency at a fixed rate", "An open loop, each operation timed from when it was due, those included that were kept waiting by others. The client's thread never sleeps, so that these are not the machine's wake-ups. The rate is a share of what the slowest contestant reaches with 256 in flight, as a median; where a contestant's op/s are below it, it did not keep up."),
    ("many", "1,000 keys", "Values of 100 bytes; `mget-by-hand` is one MGET over the floor's connection, `gets-by-hand` 1,000 GETs over it."),
    ("invalidate", "Removing by pattern", "One key in ten matches; another coroutine reads meanwhile, one GET after the other."),
    ("compile_gcc", "Compiling a program of 20 lines, GCC", "Time of the processor and most memory of the compiler at -O2, with spdlog's compiled library; the binary is stripped. The baseline is the same program with Asio, nlohmann_json and one line in the log. \"Apart\": with LUZIA_SEPARATE_COMPILATION, and for Boost.Redis without its src.hpp: what a program then compiles once, in one file, is left out; for luzia that file stands in the last rows. \"A file that uses a client\" is one of a larger program, in which another file makes the client; its baseline is the same file without the cache."),
    ("compile_clang", "Compiling a program of 20 lines, Clang", "The same."),
    ("growth", "Growth", "What an operation costs when there are more of them, more connections, more keys."),
    ("pieces", "Pieces", "In one thread, without a server: Google Benchmark, time of the processor."),
]
BASELINES = ["floor", "baseline", "1 thread 1 connection", "mget-by-hand"]


def number(value):
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


dates = {}


def read():
    figures = {}
    for part, _, _ in PARTS:
        path = os.path.join(raw, part + ".csv")
        if not os.path.exists(path):
            continue
        dates[part] = datetime.date.fromtimestamp(os.path.getmtime(path)).isoformat()
        for _, case, contestant, unit, value in csv.reader(open(path)):
            figures.setdefault(part, {}).setdefault((case, unit), {}).setdefault(contestant, []).append(float(value))
    return figures


def network():
    path = os.path.join(raw, "network")
    return open(path).read().strip() if os.path.exists(path) else "loopback"


def add_known(figures):
    """Parts that were not measured here keep what docs/benchmarks.csv has of them: as many figures with the same median, least and most."""
    measured = set(figures)
    for row in csv.DictReader(open("docs/benchmarks.csv")):
        if row["part"] in measured:
            continue
        dates[row["part"]] = row["date"]
        count, median, least, most = int(row["runs"]), float(row["median"]), float(row["min"]), float(row["max"])
        values = [median] if count == 1 else [least, *[median] * (count - 2), most]
        figures.setdefault(row["part"], {}).setdefault((row["case"], row["unit"]), {})[row["contestant"]] = values


def rows_of(figures):
    for part, cases in figures.items():
        for (case, unit), contestants in cases.items():
            base = next((name for name in BASELINES if name in contestants), None)
            for contestant, values in contestants.items():
                median = statistics.median(values)
                reference = statistics.median(contestants[base]) if base else 0
                ratio = median / reference if reference else None
                yield part, case, unit, contestant, len(values), median, min(values), max(values), ratio


def table(figures, part):
    """Cases as rows, contestants as columns."""
    cases = figures[part]
    names = []
    for contestants in cases.values():
        names += [name for name in contestants if name not in names]
    names.sort(key=lambda name: BASELINES.index(name) if name in BASELINES else len(BASELINES))
    cells = {(case, unit, name): rest for p, case, unit, name, *rest in rows_of(figures) if p == part}
    lines = [["", "unit", *names]]
    for case, unit in cases:
        line = [case, unit]
        for name in names:
            if (case, unit, name) not in cells:
                line.append("")
                continue
            count, median, least, most, ratio = cells[case, unit, name]
            text = number(median)
            if count > 1 and least != most:
                text += f" ({number(least)} .. {number(most)})"
            if ratio is not None and name != next(n for n in BASELINES if n in names):
                text += f" **{ratio:.2f}**"
            line.append(text)
        lines.append(line)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines)


# What was aimed at: part, case, unit, and whose median is divided by whose.
AIMS = [
    *[("throughput", f"{operation} {depth} in flight", "op/s", "luzia", "floor", ">=", 0.95)
      for operation in ("get", "set") for depth in (1, 16, 64, 256, 1024)],
    *[("throughput", f"{operation} 1024 in flight", "op/s", "luzia", "Boost.Redis", ">=", 4) for operation in ("get", "set")],
    *[("throughput", f"{operation} {depth} in flight", "op/s", "floor", "redis-benchmark", ">=", 0.95)
      for operation in ("get", "set") for depth in (256, 1024)],
    *[("typed", f"JSON get {depth} in flight", "op/s", "luzia", "floor", ">=", 0.9) for depth in (1, 64, 256, 1024)],
    *[("values", f"{operation} of {size} bytes", "MB/s", "luzia", "floor", ">=", 0.95)
      for operation in ("get", "set") for size in (1024, 16384, 1048576)],
    *[("values", f"set of {size} bytes given away", "MB/s", "luzia", "floor", ">=", 0.95) for size in (16384, 1048576)],
    ("threads", "256 in flight", "cpu ns/op", "4 threads 1 connection", "1 thread 1 connection", "<=", 1.3),
    ("threads", "256 in flight", "cpu ns/op", "4 threads 4 connections", "1 thread 4 connections", "<=", 1.3),
    *[(f"compile_{name}", f"{compiler} -O2", "cpu s", who, reference, "<=", most)
      for name, compiler in (("gcc", "g++"), ("clang", "clang++"))
      for who in ("luzia", "luzia apart") for reference, most in (("baseline", 1.6), ("Boost.Redis", 0.5))],
]


def aims(figures):
    lines = ["| | who | against | aim | ratio of medians | reached | median of the rounds' ratios |", "|---|---|---|---|---|---|---|"]
    for part, case, unit, who, reference, relation, aim in AIMS:
        contestants = figures.get(part, {}).get((case, unit), {})
        if who not in contestants or reference not in contestants:
            continue
        mine, theirs = contestants[who], contestants[reference]
        ratio = statistics.median(mine) / statistics.median(theirs)
        by_round = statistics.median(a / b for a, b in zip(mine, theirs)) if len(mine) == len(theirs) else ratio
        is_reached = ratio >= aim if relation == ">=" else ratio <= aim
        lines.append(f"| {case} ({unit}) | {who} | {reference} | {relation} {aim:g} | {ratio:.3f} | {'yes' if is_reached else '**no**'} | {by_round:.3f} |")
    return "\n".join(lines)


figures = read()
measured = set(figures)
if is_for_docs:
    add_known(figures)
with open(results, "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["part", "case", "unit", "contestant", "runs", "median", "min", "max", "ratio to the floor or baseline", "date"])
    for row in rows_of(figures):
        writer.writerow([*row[:5], *(f"{value:.6g}" for value in row[5:8]), "" if row[8] is None else f"{row[8]:.3f}", dates[row[0]]])

text = []
for part, heading, remark in PARTS:
    if part in figures:
        age = "" if dates[part] == max(dates.values()) else f" Measured on {dates[part]}, perhaps elsewhere: the code may have changed since."
        text.append(f"## {heading}\n\n{remark}{age}\n\n{table(figures, part)}\n")
body = "\n".join(text)
print(body)

if is_for_docs:
    with open("docs/benchmarks.md", "w") as file:
        file.write("# Benchmarks\n\nMade by `benchmarks/run`, which repeats them anywhere. Medians (least .. most) **ratio to the first column**. The contestants of "
                   "a part take turns, and only their figures compare: parts are measured at different times, and a virtual machine's figures swing by 20 % "
                   "and more from one time to the next.\n\n"
                   f"![GETs a second](benchmarks.svg)\n\n{machine.description(boost_include, network(), max(dates.values()))}\n\n"
                   "## What was aimed at\n\nWhat keeps a figure from its aim is told in [engine.md](engine.md#figures).\n\n"
                   f"{aims(figures)}\n\n{body}")
    with open(results) as source, open("docs/benchmarks.csv", "w") as file:
        file.write(source.read())
    with open("docs/benchmarks.svg", "w") as file:
        file.write(chart.throughput(figures.get("throughput", {})))
