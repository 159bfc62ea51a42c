"""The chart's README.md: its table of values is the one that values.yaml gives."""
import unittest

import chart_readme


class Readme(unittest.TestCase):
    def test_table_is_that_of_values_yaml(self):
        readme = (chart_readme.CHART / "README.md").read_text()
        values = (chart_readme.CHART / "values.yaml").read_text()
        self.assertEqual(readme, chart_readme.rendered(readme, values), "run: python3 tests/kube/chart_readme.py")

    def test_a_value_without_a_text_is_refused(self):
        with self.assertRaisesRegex(ValueError, "values.yaml:2: a.b has no"):
            chart_readme.rows("a:\n  b: 1\n")

    def test_nested_values(self):
        text = "a:\n  # -- One, and\n  # more\n  b: {}\n  # -- Block\n  c:\n    d: 1\n    e: [2]\n  # -- Group\n  f:\n    # -- Leaf\n    g: x|y\n"
        self.assertEqual([str(row) for row in chart_readme.rows(text)],
                         ["| `a.b` | `{}` | One, and more |", "| `a.c` | `{d: 1, e: [2]}` | Block |",
                          "| `a.f` |  | Group |", r"| `a.f.g` | `x\|y` | Leaf |"])


if __name__ == "__main__":
    unittest.main()
