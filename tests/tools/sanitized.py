#!/usr/bin/env python3
"""sanitized.py COMMAND...: run it with every sanitizer report of every process below it collected, and print them at the end.

An end-to-end test keeps the stderr of the processes it starts to itself; a report there would be lost, and the exit status of a
process that was killed anyway says nothing. Used for the Python tests of the asan build.
"""
import os
import subprocess
import sys
import tempfile


def main(command):
    with tempfile.TemporaryDirectory(prefix="sanitizer-") as folder:
        os.chmod(folder, 0o1777)  # a test may start processes under another user
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            os.environ[name] = ":".join(filter(None, [os.environ.get(name), f"log_path={folder}/report"]))
        status = subprocess.run(command, check=False).returncode
        sys.stderr.flush()
        for name in sorted(os.listdir(folder)):
            with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as f:
                print(f"--- a process below this test left a report ({name})\n{f.read()}", flush=True)
            status = status or 1
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
