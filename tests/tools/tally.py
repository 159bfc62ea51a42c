#!/usr/bin/env python3
"""Counts test cases, not test programs.

tally.py [--list] [--slowest N] [--case NAME=pass|fail]... JUNIT.xml...

Reads what `ctest --output-junit` wrote and looks inside each entry's output for the summary of Criterion ("Tested: 3 | Passing: 2
| Failing: 1 | Crashing: 0"), of unittest ("Ran 5 tests in", "OK (skipped=1)") or of the corpus replay. An entry without a summary
is one case. An entry that ctest failed counts at least one failure, whatever its summary says: it may have timed out, died, or
printed a sanitizer's report. A missing file is a failure, and so is a run in which nothing passed.

Names what failed, with the lines that say why, and what was skipped, then ends with "N passed, N failed[, N skipped]"; exits 1 when anything failed.
"""
import os
import re
import sys
import xml.etree.ElementTree

CRITERION = re.compile(r"Tested: (\d+) \| Passing: (\d+) \| Failing: (\d+) \| Crashing: (\d+)")
UNITTEST_RAN = re.compile(r"^Ran (\d+) tests? in ", re.M)
UNITTEST_END = re.compile(r"^(?:OK|FAILED)(?: \((.*)\))?\s*$", re.M)
REPLAY = re.compile(r"^replayed: (\d+) passed, (\d+) failed", re.M)
SKIPPED = re.compile(r"^(\w+) \(.*\) \.\.\. skipped (.*)$", re.M)
CLASSES = re.compile(r"^(?:setUp|tearDown)(?:Class|Module) \(.*\) \.\.\. (?:skipped|ERROR)", re.M)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
WHY = re.compile(r"^(?:\[FAIL\] |\[----\] \S+:\d+: |\[----\]   \S|(?:FAIL|ERROR): |[\w.]*(?:Error|Exception): |.*(?:ERROR: \w+Sanitizer|: runtime error: ))")
WHY_LINES_MAX = 20
WHY_LINE_CHARS_MAX = 300


def count(output, entry_failed):
    """(passed, failed, skipped) of one ctest entry."""
    output = COLOUR.sub("", output)
    passed = failed = skipped = 0
    seen = False
    for match in CRITERION.finditer(output):
        _, good, bad, crashed = map(int, match.groups())
        passed, failed, seen = passed + good, failed + bad + crashed, True
    ran = UNITTEST_RAN.findall(output)
    if ran:
        end = UNITTEST_END.findall(output)
        words = dict(re.findall(r"(\w+(?: \w+)?)=(\d+)", end[-1] if end else ""))
        bad = int(words.get("failures", 0)) + int(words.get("errors", 0)) + int(words.get("unexpected successes", 0))
        skips = int(words.get("skipped", 0))
        failed, skipped, seen = failed + bad, skipped + skips, True
        outside = len(CLASSES.findall(output))  # unittest counts these as errors and skips, but not as run
        passed += max(0, int(ran[-1]) - bad - skips + outside)
    for match in REPLAY.finditer(output):
        passed, failed, seen = passed + int(match.group(1)), failed + int(match.group(2)), True
    if entry_failed:
        return passed, max(failed, 1), skipped
    return (passed, failed, skipped) if seen else (1, 0, 0)


def reasons(output):
    """The lines of a failed entry that name its failed cases and say why, the first of them."""
    lines = [line.rstrip()[:WHY_LINE_CHARS_MAX] for line in COLOUR.sub("", output).splitlines() if WHY.match(line)]
    return lines[:WHY_LINES_MAX] + ([f"and {len(lines) - WHY_LINES_MAX} lines more"] if len(lines) > WHY_LINES_MAX else [])


def read(path):
    """Yields (name, status, output) of the entries of a junit file."""
    for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
        out = case.find("system-out")
        yield case.get("name"), case.get("status"), (out.text or "") if out is not None else ""


def slowest(path, count):
    """One line: the entries of a junit file that took longest, for whoever wants the run shorter."""
    cases = xml.etree.ElementTree.parse(path).getroot().iter("testcase")
    times = sorted(((float(case.get("time") or 0), case.get("name")) for case in cases), reverse=True)
    return "slowest: " + ", ".join(f"{name} {seconds:.0f} s" for seconds, name in times[:count])


def main(argv):
    passed = failed = skipped = 0
    notes = []
    args = iter(argv)
    verbose = False
    slow = 0
    for arg in args:
        if arg == "--list":
            verbose = True
            continue
        if arg == "--slowest":
            slow = int(next(args))
            continue
        if arg == "--case":
            name, verdict = next(args).rsplit("=", 1)
            if verdict == "pass":
                passed += 1
            else:
                failed += 1
                notes.append(f"failed:  {name}")
            continue
        where = os.path.basename(os.path.dirname(arg)) or "."
        try:
            entries = list(read(arg))
        except (OSError, xml.etree.ElementTree.ParseError) as problem:
            failed += 1
            notes.append(f"failed:  {where}: no results ({problem})")
            continue
        here = [0, 0, 0]
        for name, status, output in entries:
            if status in ("disabled", "notrun") and "SKIP" in output:
                found = (0, 0, 1)
            else:
                found = count(output, status != "run")
            here = [a + b for a, b in zip(here, found)]
            if found[1]:
                notes.append(f"failed:  {where}: {name} ({found[1]})")
                notes += ["         " + line for line in reasons(output)]
            for test, reason in SKIPPED.findall(output):
                notes.append(f"skipped: {where}: {name}: {test}: {reason}")
        if slow and entries:
            print(slowest(arg, slow))
        if verbose:
            print(f"{where}: {len(entries)} programs, {here[0]} passed, {here[1]} failed, {here[2]} skipped")
        passed, failed, skipped = passed + here[0], failed + here[1], skipped + here[2]
    if passed + failed == 0:
        failed = 1
        notes.append("failed:  no test ran at all")
    print("\n".join(notes) + "\n" if notes else "", end="")
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
