"""What cannot work is refused while the chart is rendered, with the sentences of guards.yaml. The sentences are the chart's, whoever renders
it, so the two helms take turns; only what concerns the schema of values goes to both."""
import re
import unittest

import tools

GUARDS = tools.documents((tools.HERE / "guards.yaml").read_text())[0]
KUBE = "1.34.0"


def helms(number, case):
    return tools.HELMS if case.get("skip_schema") else tools.HELMS[number % 2:][:1]


def outcome(case_and_helm):
    """What helm said when it refused, or None."""
    case, which = case_and_helm
    extra = ["--skip-schema-validation"] if case.get("skip_schema") else []
    try:
        tools.template(which, tools.merged(GUARDS["base"], case["values"]), case.get("kube", KUBE), extra=extra)
    except tools.Failed as refused:
        return str(refused)
    return None


@tools.needs_packages
class Guards(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        wanted = [(case, which) for number, case in enumerate(GUARDS["cases"]) for which in helms(number, case)]
        cls.outcomes = {(case["name"], which): result for (case, which), result in tools.in_parallel(outcome, wanted)}

    def check(self, number, case):
        for which in helms(number, case):
            said = self.outcomes[case["name"], which]
            if isinstance(said, Exception):
                raise said
            if case.get("fine"):
                self.assertIsNone(said, which)
                continue
            self.assertIsNotNone(said, f"{which}: nothing is refused")
            for part in case["says"]:
                self.assertIn(part, said, which)
            for part in case.get("says_not", ()):
                self.assertNotIn(part, said, which)


def method(*case):
    return lambda self: self.check(*case)


for position, one in enumerate(GUARDS["cases"]):
    name = "test_" + re.sub(r"\W+", "_", one["name"])
    assert not hasattr(Guards, name), f"two cases are called {one['name']!r}"
    setattr(Guards, name, method(position, one))

if __name__ == "__main__":
    unittest.main()
