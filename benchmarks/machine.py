# machine.py: where a run was made: the processor, the kernel, and the versions of everything that took part.
import os
import platform
import re
import subprocess


def first_match(text, pattern, otherwise="unknown"):
    found = re.search(pattern, text)
    return found.group(1) if found else otherwise


def output(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""


def text_of(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def boost_version(include):
    return first_match(text_of(os.path.join(include, "boost/version.hpp")), r'BOOST_LIB_VERSION "([\d_]+)"').replace("_", ".")


def description(boost_include, network, date):
    processor = first_match(text_of("/proc/cpuinfo"), r"model name\s*: (.*)")
    system = first_match(text_of("/etc/os-release"), r'PRETTY_NAME="(.*)"')
    clang = output("clang++", "-dumpversion").strip()
    hiredis = text_of("/usr/include/hiredis/hiredis.h")
    memory = int(first_match(text_of("/proc/meminfo"), r"MemTotal:\s+(\d+)", "0")) / 1024**2
    is_virtual = "hypervisor" in text_of("/proc/cpuinfo")
    rows = [
        ("machine", f"{processor}, {os.cpu_count()} cores, {memory:.0f} GiB" + (", virtual" if is_virtual else "")),
        ("system", f"{system}, Linux {platform.release().split('-')[0]}"),
        ("server", "Redis " + first_match(output("redis-server", "--version"), r"v=([\d.]+)") + ", on the same machine"),
        ("network", network),
        ("hiredis", ".".join(first_match(hiredis, rf"HIREDIS_{part} (\d+)") for part in ("MAJOR", "MINOR", "PATCH"))),
        ("Boost", boost_version("/usr/include") + (f"; Boost.Redis from {boost_version(boost_include)}" if boost_include else "; no Boost.Redis")),
        ("compilers", f"GCC {output('g++', '-dumpfullversion').strip()} (-O3)" + (f", Clang {clang}" if clang else "")),
        ("date", date),
    ]
    return "| | |\n|---|---|\n" + "\n".join(f"| {name} | {value} |" for name, value in rows)
