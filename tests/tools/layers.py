#!/usr/bin/env python3
"""The rules of the house that a machine can read: layers, banned functions, size, shape. layers.py [ROOT]

Prints one line per breach, "file:line: what and why", and exits 1 if there was any.
"""
import os
import re
import sys

# Left may not include right; folders of one layer do not include one another.
LAYERS = [
    ["base"],
    ["log"],
    ["loop"],
    ["config", "http"],
    ["server", "client", "store"],
    ["proxy", "agent", "a2a", "supervisor", "platform", "control", "health", "notify", "metrics", "k8s"],
    ["inbox"],
    ["app"],
    ["cmd"],
    ["main", "static"],
]
RANK = {folder: rank for rank, folders in enumerate(LAYERS) for folder in folders}
SHARED = {"agent/port.h"}  # the one header features may share
DEVPLATFORM_MAY = {"base", "log", "loop", "http", "server", "client"}
LINES_MAX = 600

INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')
BANNED = {
    "strcpy strcat sprintf vsprintf gets": "no bound: use base/buf.h, base/str.h or snprintf",
    "strtok gmtime localtime ctime asctime": "hidden state: use the _r form",
    "atoi atol atof strtol strtoul strtoll strtoull strtod sscanf": "lenient: use base/parse.h",
    "alloca": "unbounded stack",
    "sleep usleep nanosleep": "nothing waits by sleeping: use a deadline on the loop",
    "system popen": "no shell",
    "exit": "only main ends the process",
}
BANNED_CALL = {word: why for words, why in BANNED.items() for word in words.split()}
CALL = re.compile(r"(?<![\w.>])(" + "|".join(BANNED_CALL) + r")\s*\(")
MAY_CALL = {"sidecar/base/parse.c": {"strtol", "strtoul", "strtoll", "strtoull", "strtod"},
            "sidecar/cmd/status.c": {"sleep"},  # --watch: a command of its own, without a loop
            "sidecar/main.c": {"exit"}, "devplatform/main.c": {"exit"}}
TEST_SLEEP = re.compile(r"\btime\.sleep\(|(?<![\w.])(?:u|nano)?sleep\(")


def without_comments_and_strings(text):
    """The same text, same line numbers, with comments and the insides of literals blanked."""
    def blank(match):
        found = match.group(0)
        if found.startswith(("/*", "//")):
            return re.sub(r"[^\n]", " ", found)
        return found[0] + " " * (len(found) - 2) + found[-1]
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def check_include(rel, folder, target):
    """Why `rel` (in module `folder`) may not include `target`, or None."""
    other = target.split("/")[0] if "/" in target else None
    if other is None or other not in RANK:
        return None
    if folder == "devplatform":
        return None if other in DEVPLATFORM_MAY else f"devplatform may include {' '.join(sorted(DEVPLATFORM_MAY))} only"
    if other == folder or target in SHARED and RANK[folder] >= RANK["agent"]:
        return None
    if RANK[other] > RANK[folder]:
        return f"layer {folder} lies below {other}"
    if RANK[other] == RANK[folder]:
        return f"{folder} and {other} are of one layer: app/ joins them"
    return None


def check_source(root, path):
    rel = os.path.relpath(path, root)
    parts = rel.split(os.sep)
    folder = "devplatform" if parts[0] == "devplatform" else parts[1] if len(parts) > 2 else "main"
    with open(path, encoding="utf-8") as f:
        text = f.read()
    lines = text.split("\n")
    code = without_comments_and_strings(text).split("\n")
    if len(lines) - 1 > LINES_MAX:
        yield f"{rel}:{LINES_MAX}: {len(lines) - 1} lines, at most {LINES_MAX}: one file does one thing, split it"
    if not text.lstrip().startswith("/*"):
        yield f"{rel}:1: open with a comment: what this file is for and what it leaves to others"
    if folder not in RANK and folder != "devplatform":
        yield f"{rel}:1: no layer is known for folder {folder}: see LAYERS in tests/tools/layers.py"
        return
    own = os.path.splitext(path)[0] + ".h"
    first = None
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if match:
            target = match.group(1)
            if first is None:
                first = target
                if rel.endswith(".c") and os.path.exists(own) and os.path.dirname(target) not in (folder, ""):
                    yield f"{rel}:{number}: include your own header, or the module's inner one, before all others"
            why = check_include(rel, folder, target)
            if why:
                yield f"{rel}:{number}: includes {target}: {why}"
        for word in re.findall(r"\b(TODO|FIXME|XXX)\b", line):
            yield f"{rel}:{number}: {word}: do it, or say in words what is not done and why"
    for number, line in enumerate(code, 1):
        for match in CALL.finditer(line):
            word = match.group(1)
            if word not in MAY_CALL.get(rel.replace(os.sep, "/"), ()):
                yield f"{rel}:{number}: {word}(): {BANNED_CALL[word]}"
        if re.match(r"\s*#\s*define\s+_GNU_SOURCE", line):
            yield f"{rel}:{number}: _GNU_SOURCE is set once, in cmake/flags.cmake"
        if re.match(r"typedef\s+struct\b", line):
            yield f"{rel}:{number}: no typedef for structs: a reader should see what is one"


def check_test(root, path):
    rel = os.path.relpath(path, root)
    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            if TEST_SLEEP.search(line) and "never returns by itself" not in line:
                yield f"{rel}:{number}: a test waits for a condition with a deadline, it does not sleep"


def files(root, folder, endings):
    for where, folders, names in os.walk(os.path.join(root, folder)):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f not in ("node_modules", "__pycache__"))
        for name in sorted(names):
            if name.endswith(endings):
                yield os.path.join(where, name)


def check(root):
    """All breaches below `root`, as sentences."""
    found = []
    for folder in ("sidecar", "devplatform"):
        for path in files(root, folder, (".c", ".h")):
            found += check_source(root, path)
    for folder in ("tests/unit", "tests/e2e", "tests/conformance"):
        for path in files(root, folder, (".c", ".h", ".py")):
            found += check_test(root, path)
    return found


if __name__ == "__main__":
    breaches = check(sys.argv[1] if len(sys.argv) > 1 else os.getcwd())
    print("\n".join(breaches))
    sys.exit(1 if breaches else 0)
