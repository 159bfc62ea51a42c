"""The tables in the chart's README.md: values, made of the comments in values.yaml, and alerts, made of their summaries. Run it to write
them; a test compares.

values.yaml is read as it is written, line by line: `# -- text` and the comment lines below it belong to the key that follows.
A key with keys of its own and no text is only their prefix; one with a text is a value, whatever stands below it.
"""
import pathlib
import re
import sys

CHART = pathlib.Path(__file__).resolve().parents[2] / "helm" / "molecule-sidecar"
VALUES = ("<!-- values: printed from values.yaml by tests/kube/chart_readme.py -->\n", "<!-- end of values -->")
ALERTS = ("| alert | severity | what it says |\n|---|---|---|\n", "\nBoth monitors set the label")
INDENT = 2


class Row:
    def __init__(self, path, default, text):
        self.path, self.default, self.text, self.below = path, default, text, []

    def shown_default(self):
        inner = ", ".join(line.strip() for line in self.below)
        default = "{" + inner + "}" if inner else self.default
        return f"`{default}`" if default else ""

    def __str__(self):
        text = re.sub(r"([<*])", r"\\\1", self.text)
        cells = [f"`{self.path}`", self.shown_default(), text]
        return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def rows(text):
    """Each documented key in order. A leaf without a text is an error."""
    found, text_above, path = [], [], []
    owner = None  # the last row with a text; what stands below it without one is its default
    for number, line in enumerate(text.splitlines(), 1):
        comment = re.match(r"\s*# ?(-- )?(.*)$", line)
        if comment:
            if comment[1]:
                text_above = [comment[2]]
            elif text_above:
                text_above.append(comment[2])
            continue
        key = re.match(r"( *)([A-Za-z][A-Za-z0-9_.-]*):(?: +(.*))?$", line)
        if not key:
            if line.strip():
                raise ValueError(f"values.yaml:{number}: neither a comment nor `key: value`; write lists and texts on one line")
            text_above = []
            continue
        depth = len(key[1]) // INDENT
        path = path[:depth] + [key[2]]
        if owner and depth <= owner.path.count("."):
            owner = None
        if owner and not text_above:
            owner.below.append(line)
            continue
        default = key[3] or ""
        if text_above:
            owner = Row(".".join(path), default, " ".join(text_above))
            found.append(owner)
        elif default:
            raise ValueError(f"values.yaml:{number}: {'.'.join(path)} has no `# -- text` above it")
        text_above = []
    return found


def table(text):
    lines = ["| key | default | what it is |", "|---|---|---|"]
    return "\n".join(lines + [str(row) for row in rows(text)])


def alerts():
    """(name, rule's text) of each alert in files/alerts.yaml."""
    parts = re.split(r"\n      - alert: (\w+)\n", (CHART / "files" / "alerts.yaml").read_text())
    return list(zip(parts[1::2], parts[2::2]))


def alert_rows():
    lines = []
    for name, rule in alerts():
        said = re.search(r"summary: (.*)", rule)[1].strip('"')
        said = re.sub(r"\{\{[^}]*\$labels\.(\w+)[^}]*\}\}", r"*\1*", said)
        said = re.sub(r"\{\{[^}]*\$value[^}]*\}\}", "*N*", said)
        severity = re.search(r"severity: (\w+)", rule)[1]
        lines.append(f"| `{name}` | {severity} | {said} |")
    return "\n".join(lines)


def between(text, marks, new):
    before, rest = text.split(marks[0])
    after = rest[rest.index(marks[1]):]
    return f"{before}{marks[0]}{new}\n{after}"


def rendered(readme, values):
    """README.md with the tables in their places."""
    return between(between(readme, ALERTS, alert_rows()), VALUES, table(values))


def main():
    readme = CHART / "README.md"
    readme.write_text(rendered(readme.read_text(), (CHART / "values.yaml").read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
