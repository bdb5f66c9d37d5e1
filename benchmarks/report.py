# report.py: figures to one table: medians, spreads, ratios. Writes the results as CSV and, where asked, docs/benchmarks.md, .csv and .svg.
#   report.py RAW_FOLDER RESULTS.csv BOOST_INCLUDE [docs]
import csv
import glob
import os
import statistics
import sys

import chart
import machine

raw, results, boost_include = sys.argv[1:4]
is_for_docs = len(sys.argv) > 4

# Part, heading, what it says.
PARTS = [
    ("throughput", "Raw GET and SET", "100 bytes, one connection, one client thread; server and client are bound to a core each. The floor is a loop written by hand over `redisReader` and Asio that does nothing else; ratios are to it."),
    ("typed", "Typed GET of JSON", "A document of 437 bytes as a struct. The floor here: the loop above, then `nlohmann::json::parse(text).get<T>()`."),
    ("values", "Larger values", "64 in flight, of 1 MiB 8. Copies are those in the client's own memory that `memcpy`, `memmove` and `realloc` make, the kernel's left out: counted in two runs of different lengths, the difference divided by the bytes of the values."),
    ("threads", "One client shared by threads", "One `io_context`, run by 1 or 4 threads; here neither they nor the server are bound to a core. Ratios are to one thread and one connection. Mutexes are all that the process takes, Asio's included: how often, how often a thread had to wait for one after all tries, and for how long it was held (with what watching costs)."),
    ("counts", "Counted per operation", "Not timed: the difference of two runs of different lengths, divided by the operations between them. Instructions by callgrind, system calls by strace, allocations and memory by wrapping malloc. Memory of a pending operation includes its coroutine, its command and the value that it waits for."),
    ("latency", "Latency at a fixed rate", "An open loop, each operation timed from when it was due. The client's thread never sleeps, so that these are not the machine's wake-ups. The rate is a share of the slowest contestant's throughput at 256 in flight."),
    ("many", "1,000 keys", "Values of 100 bytes; `mget-by-hand` is one MGET over the floor's connection, `gets-by-hand` 1,000 GETs over it."),
    ("invalidate", "Removing by pattern", "One key in ten matches; another coroutine reads meanwhile, one GET after the other."),
    ("compile_gcc", "Compiling a program of 20 lines, GCC", "Time of the processor and most memory of the compiler at -O2, with spdlog's compiled library; the binary is stripped. The baseline is the same program with Asio, nlohmann_json and one line in the log. \"Apart\": with LUZIA_SEPARATE_COMPILATION, and for Boost.Redis without its src.hpp: what a program then compiles once, in one file, is left out; for luzia it stands in the last rows. Between them a file of a larger program, which uses a client that another file makes; its baseline is the same file without the cache."),
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


def read():
    figures = {}
    for part, _, _ in PARTS:
        path = os.path.join(raw, part + ".csv")
        if not os.path.exists(path):
            continue
        for _, case, contestant, unit, value in csv.reader(open(path)):
            figures.setdefault(part, {}).setdefault((case, unit), {}).setdefault(contestant, []).append(float(value))
    return figures


def add_known(figures):
    """Parts that were not measured here keep what docs/benchmarks.csv has of them: as many figures with the same median, least and most."""
    measured = set(figures)
    for row in csv.DictReader(open("docs/benchmarks.csv")):
        if row["part"] in measured:
            continue
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
            if ratio is not None and name not in BASELINES:
                text += f" **{ratio:.2f}**"
            elif ratio is not None and name != next(n for n in BASELINES if n in names):
                text += f" **{ratio:.2f}**"
            line.append(text)
        lines.append(line)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines)


figures = read()
measured = set(figures)
if is_for_docs:
    add_known(figures)
with open(results, "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["part", "case", "unit", "contestant", "runs", "median", "min", "max", "ratio to the floor or baseline"])
    for row in rows_of(figures):
        writer.writerow([*row[:5], *(f"{value:.6g}" for value in row[5:8]), "" if row[8] is None else f"{row[8]:.3f}"])

text = []
for part, heading, remark in PARTS:
    if part in figures:
        age = "" if part in measured else " Measured on an earlier day."
        text.append(f"## {heading}\n\n{remark}{age}\n\n{table(figures, part)}\n")
body = "\n".join(text)
print(body)

if is_for_docs:
    with open("docs/benchmarks.md", "w") as file:
        file.write("# Benchmarks\n\nMade by `benchmarks/run`, which repeats them anywhere. Medians (least .. most) **ratio to the first column**. The contestants of "
                   "a part take turns, and only their figures compare: parts are measured at different times, and a virtual machine's figures swing by 20 % "
                   "and more from one time to the next.\n\n"
                   f"![GETs a second](benchmarks.svg)\n\n{machine.description(boost_include)}\n\n{body}")
    with open(results) as source, open("docs/benchmarks.csv", "w") as file:
        file.write(source.read())
    with open("docs/benchmarks.svg", "w") as file:
        file.write(chart.throughput(figures.get("throughput", {})))
