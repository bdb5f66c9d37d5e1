# measure.py: compiles a source once and prints the processor time, the memory, and the size of the stripped binary where there are libraries.
#   measure.py COMPILER SOURCE [ARGUMENT...]
import os
import subprocess
import sys
import tempfile

compiler, source, *arguments = sys.argv[1:]
with tempfile.TemporaryDirectory() as folder:
    binary = os.path.join(folder, "program")
    compile_only = [compiler, "-std=c++20", "-O2", "-DSPDLOG_COMPILED_LIB", "-DSPDLOG_FMT_EXTERNAL", "-c", source, "-o", binary + ".o"]
    flags = [argument for argument in arguments if not argument.startswith("-l")]
    libraries = [argument for argument in arguments if argument.startswith("-l")]
    process = subprocess.Popen(compile_only + flags, stderr=subprocess.PIPE)
    messages = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(messages.decode())
    print(f"cpu s,{usage.ru_utime:.6g}")
    print(f"MiB,{usage.ru_maxrss / 1024:.6g}")
    if libraries: # else the source is no program
        subprocess.run([compiler, binary + ".o", "-o", binary, "-s", "-pthread", *libraries], check=True)
        print(f"KiB stripped,{os.path.getsize(binary) / 1024:.6g}")
