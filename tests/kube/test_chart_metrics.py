"""Alerts and dashboard speak of what the sidecar really exports: each metric, label and label value in them is in the sources, counters
stand in rate() or increase(), and each configuration key or value that a sentence names exists."""
import json
import pathlib
import re
import unittest

import chart_readme

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = chart_readme.CHART
TARGET_LABELS = {"namespace", "job", "pod"}  # set by whoever scrapes
SERIES = re.compile(r"(molecule_sidecar_\w+)(\{[^}]*\})?")


def exported():
    """Name -> type, as the sources declare them; a histogram's parts by their own names."""
    kinds = {}
    for source in sorted((ROOT / "sidecar").rglob("*.c")):
        text = source.read_text()
        for name, kind in re.findall(r'metrics_family\(\s*out,\s*"(\w+)",\s*"(\w+)"', text):
            kinds[name] = kind
        for kind, name in re.findall(r'metrics_(counter|gauge)\(\s*out,\s*"(\w+)"', text):
            kinds[name] = kind
    for name in [n for n, kind in kinds.items() if kind == "histogram"]:
        del kinds[name]
        kinds.update({f"{name}_{part}": "counter" for part in ("bucket", "sum", "count")})
    return kinds


def labels_and_words():
    """Names of labels in the sources, and every short string there, which label values are among."""
    text = "\n".join(p.read_text() for p in (ROOT / "sidecar").rglob("*.c"))
    labels = set(re.findall(r'metrics_label\(&labels, "(\w+)"', text)) | set(re.findall(r'add_labelled\(out, "\w+", "(\w+)"', text))
    return labels | {"le"}, set(re.findall(r'"(\w+)"', text))


def alerts():
    """The text of each rule by its name."""
    return dict(chart_readme.alerts())


def alert_expression(rule):
    return re.search(r"        expr: (.*?)\n        (?:for|labels):", rule, re.S)[1].replace("@series@", "")


def panels():
    return json.loads((CHART / "dashboards" / "agent.json").read_text())["panels"]


def expressions():
    """(where, PromQL) of every alert and every panel's target."""
    yield from ((name, alert_expression(rule)) for name, rule in alerts().items())
    for panel in panels():
        yield from ((panel["title"], target["expr"]) for target in panel.get("targets", []))


class Metrics(unittest.TestCase):
    kinds = exported()

    def test_sources_are_understood(self):
        self.assertGreater(len(self.kinds), 50)
        self.assertEqual(set(self.kinds.values()), {"counter", "gauge"})

    def test_metrics_exist(self):
        for where, text in expressions():
            names = [name for name, _ in SERIES.findall(text)]
            self.assertTrue(names, where)
            for name in names:
                self.assertIn(name, self.kinds, where)

    def test_counters_and_gauges_are_used_as_such(self):
        for where, text in expressions():
            for call, name in re.findall(r"(\w*)\(?\b(molecule_sidecar_\w+)", text):
                if self.kinds[name] == "counter":
                    self.assertIn(call, ("rate", "increase"), f"{where}: {name} only grows")
                else:
                    self.assertNotIn(call, ("rate", "increase"), f"{where}: {name} goes up and down")

    def test_labels_and_their_values_exist(self):
        labels, words = labels_and_words()
        for where, text in expressions():
            for _, matchers in SERIES.findall(text):
                for label, values in re.findall(r'(\w+)=~?"([^"]*)"', matchers):
                    if label in TARGET_LABELS:
                        continue
                    self.assertIn(label, labels, where)
                    for value in values.split("|"):
                        self.assertIn(value, words, f"{where}: {label}")
            for names in re.findall(r"(?:by|on|ignoring|group_left) \(([^)]*)\)", text):
                for label in names.split(", "):
                    self.assertIn(label, labels | TARGET_LABELS, where)
        for panel in panels():
            for target in panel.get("targets", []):
                for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                    self.assertIn(label, labels | TARGET_LABELS, panel["title"])

    def test_each_alert_is_of_this_release_and_says_what_to_do(self):
        text = (CHART / "files" / "alerts.yaml").read_text()
        self.assertGreater(len(alerts()), 15)
        for series, matchers in SERIES.findall(text):
            self.assertIn("@series@", matchers, series)
        for name, rule in alerts().items():
            self.assertRegex(rule, r"severity: (critical|warning)\}", name)
            for annotation in ("summary", "description", "action"):
                self.assertRegex(rule, rf"\n          {annotation}: \S", name)

    def test_alerts_about_messages_name_what_ends_there(self):
        """As the tables of docs/polling.md have it: a row whose consequence is that end names codes and words, and the alert has them too."""
        text = (ROOT / "docs" / "polling.md").read_text()
        refused = re.search(r"^\| ([^|]*) \| `parked`: it would be refused again \|$", text, re.M)[1]
        peers = re.search(r"^\| ([^|]*) \| the same, but only if", text, re.M)[1]
        at_once = re.search(r"^\| ([^|]*) \| \*\*a dead letter at once", text, re.M)[1]
        ends = re.search(r"after (\d+) such ends a dead letter", text)[1]
        codes = re.findall(r"(?<![-\d])\d{3}\b|\w+_\w+", f"{refused} {peers}")
        self.assertGreaterEqual(len(codes), 6)
        for word in codes:
            self.assertIn(word, alerts()["MoleculeParkedMessages"])
        dead = alerts()["MoleculeDeadLetters"]
        self.assertIn("inbox.max_attempts", dead)
        self.assertIn(f"{ends} times", dead)
        for code in re.findall(r"such as (-\d+), or status (\d+)", dead)[0]:
            self.assertIn(code, at_once)

    def test_panels_have_their_own_numbers_and_places(self):
        ids = [panel["id"] for panel in panels()]
        self.assertEqual(len(ids), len(set(ids)))
        places = [tuple(panel["gridPos"][k] for k in "xy") for panel in panels()]
        self.assertEqual(len(places), len(set(places)))

    def test_keys_that_sentences_name_exist(self):
        known = {row.path for row in chart_readme.rows((CHART / "values.yaml").read_text())}
        section = ""
        for line in (ROOT / "docs" / "configuration.md").read_text().splitlines():
            section = line[3:] if line.startswith("## ") else section
            key = re.match(r"\| `(\w+)` \|", line)
            if key:
                known.add(f"{section}.{key[1]}")
                known.add(f"sidecar.config.{section}.{key[1]}")
        known |= {path.rsplit(".", n)[0] for path in known for n in (1, 2) if path.count(".") >= n}
        sections = "|".join(sorted({path.split(".")[0] for path in known}))
        for name in ("files/alerts.yaml", "templates/_notes.tpl"):
            text = re.sub(r"\{\{.*?\}\}", "", (CHART / name).read_text(), flags=re.S)
            for key in re.findall(rf"(?<![\w.$/-])((?:{sections})\.[A-Za-z_][\w.]*\w)", text):
                if not key.endswith((".tpl", ".yaml")):
                    self.assertTrue(key.removesuffix(".requests.cpu") in known, f"{name}: there is no key {key}")


if __name__ == "__main__":
    unittest.main()
