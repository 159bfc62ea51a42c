"""The table of values in the chart's README.md, made of the comments in values.yaml. Run it to write the table; a test compares.

values.yaml is read as it is written, line by line: `# -- text` and the comment lines below it belong to the key that follows.
A key with keys of its own and no text is only their prefix; one with a text is a value, whatever stands below it.
"""
import pathlib
import re
import sys

CHART = pathlib.Path(__file__).resolve().parents[2] / "helm" / "molecule-sidecar"
BEGIN = "<!-- values: printed from values.yaml by tests/kube/chart_readme.py -->"
END = "<!-- end of values -->"
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


def rendered(readme, values):
    """README.md with the table in its place."""
    before, rest = readme.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{table(values)}\n{END}{after}"


def main():
    readme = CHART / "README.md"
    readme.write_text(rendered(readme.read_text(), (CHART / "values.yaml").read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
