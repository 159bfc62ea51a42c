#!/usr/bin/env python3
"""clang-tidy over our own sources: tidy.py BUILD_DIR JOBS [WORD...] (only files whose path contains a WORD).

Longest files first, one process per file; prints only what clang-tidy found, then a line with the count. Exits 1 on any finding.

TIDY_STATES in the environment: how many states of the program the analyzer follows in one function before it stops there, instead of
clang's 225000. CI takes a third, for half of the time; it matters to few functions, parsers whose loops are unrolled.
"""
import concurrent.futures
import json
import os
import subprocess
import sys
import time


STATES = os.environ.get("TIDY_STATES")
STATE_FLAGS = [f"--extra-arg={word}" for word in ("-Xclang", "-analyzer-config", "-Xclang", f"max-nodes={STATES}")] if STATES else []


def run(source, build_dir):
    done = subprocess.run(["clang-tidy", "--quiet", "-p", build_dir, *STATE_FLAGS, source], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    errors = [line for line in done.stderr.splitlines() if "warnings generated" not in line and "warning generated" not in line]
    return source, done.returncode, done.stdout + ("\n".join(errors) if done.returncode else "")


def main(build_dir, jobs, words):
    root = os.getcwd()
    with open(os.path.join(build_dir, "compile_commands.json"), encoding="utf-8") as f:
        sources = {os.path.realpath(entry["file"]) for entry in json.load(f)}
    sources = [s for s in sources if s.startswith((root + "/sidecar/", root + "/devplatform/"))]
    sources = [s for s in sources if not words or any(word in s for word in words)]
    sources.sort(key=os.path.getsize, reverse=True)
    start = time.monotonic()
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(max_workers=jobs) as pool:
        for source, status, text in pool.map(lambda s: run(s, build_dir), sources):
            if status or "warning:" in text or "error:" in text:
                bad += 1
                print(text.strip() or f"{source}: clang-tidy ended with {status}", flush=True)
    print(f"clang-tidy: {len(sources)} files, {bad} with findings, {time.monotonic() - start:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
