"""The counter of test cases counts right, and never turns a failure into a pass."""
import contextlib
import io
import os
import tempfile
import unittest

import tally

CRITERION = "[====] Synthesis: Tested: 3 | Passing: 2 | Failing: 1 | Crashing: 0 \n"


class Count(unittest.TestCase):
    def test_criterion(self):
        self.assertEqual((2, 1, 0), tally.count(CRITERION, True))

    def test_criterion_in_colour(self):
        text = "[\x1b[0;34m====\x1b[0m] \x1b[0;1mSynthesis: Tested: \x1b[0;34m3\x1b[0m | Passing: \x1b[0;32m2\x1b[0m" \
               " | Failing: \x1b[0;31m0\x1b[0m | Crashing: \x1b[0;31m1\x1b[0m\x1b[0m"
        self.assertEqual((2, 1, 0), tally.count(text, True))

    def test_unittest_all_well(self):
        self.assertEqual((5, 0, 0), tally.count("Ran 5 tests in 0.1s\n\nOK\n", False))

    def test_unittest_with_failures_and_skips(self):
        self.assertEqual((1, 3, 1), tally.count("Ran 5 tests in 0.1s\n\nFAILED (failures=1, errors=2, skipped=1)\n", True))

    def test_unittest_subtests_may_fail_more_often_than_tests_ran(self):
        self.assertEqual((0, 4, 0), tally.count("Ran 2 tests in 0.1s\n\nFAILED (failures=4)\n", True))

    def test_skipped_class_takes_nothing_from_the_others(self):
        text = "setUpClass (t.A) ... skipped 'no npm'\n\nRan 3 tests in 0.1s\n\nOK (skipped=1)\n"
        self.assertEqual((3, 0, 1), tally.count(text, False))

    def test_corpus_replay(self):
        self.assertEqual((7, 0, 0), tally.count("replayed: 7 passed, 0 failed\n", False))

    def test_entry_without_summary_is_one_case(self):
        self.assertEqual((1, 0, 0), tally.count("fine\n", False))
        self.assertEqual((0, 1, 0), tally.count("Segmentation fault\n", True))

    def test_failed_entry_with_a_clean_summary_still_fails(self):
        self.assertEqual((5, 1, 0), tally.count("Ran 5 tests in 0.1s\n\nOK\n==1==ERROR: LeakSanitizer: x\n", True))

    def test_output_of_a_child_that_is_no_summary_does_not_count(self):
        self.assertEqual((1, 0, 0), tally.count("we ran 5 tests in a row, OK\n", False))


class Main(unittest.TestCase):
    def run_main(self, *args, xml=None):
        out = io.StringIO()
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(out):
            path = os.path.join(folder, "tests.xml")
            if xml is not None:
                with open(path, "w", encoding="utf-8") as f:
                    f.write(xml)
                args += (path,)
            status = tally.main(list(args))
        return status, out.getvalue().splitlines()

    def case(self, name, status, text):
        return f'<testcase name="{name}" status="{status}"><system-out>{text}</system-out></testcase>'

    def test_sum_over_entries_and_cases(self):
        xml = "<testsuite>" + self.case("a", "run", CRITERION.replace("3", "2").replace("Failing: 1", "Failing: 0")) + \
              self.case("b", "run", "test_x (t.T.test_x) ... skipped &#39;no namespace&#39;\nRan 2 tests in 1s\n\nOK (skipped=1)\n") + \
              "</testsuite>"
        status, lines = self.run_main("--case", "tidy=pass", xml=xml)
        self.assertEqual(0, status)
        self.assertEqual("4 passed, 0 failed, 1 skipped", lines[-1])
        self.assertIn("test_x: 'no namespace'", "\n".join(lines))

    def test_failure_is_named_and_decides_the_status(self):
        status, lines = self.run_main(xml="<testsuite>" + self.case("a", "fail", CRITERION) + "</testsuite>")
        self.assertEqual(1, status)
        self.assertEqual("2 passed, 1 failed", lines[-1])
        self.assertRegex(lines[0], r"^failed: .* a \(1\)$")

    def test_a_failure_comes_with_the_lines_that_say_why(self):
        text = "[----] ../test_a.c:7: Assertion Failed\n[----]   \n[----]   The expression (n) == (0U) is false.\n[FAIL] a::one: (0.75s)\n" + CRITERION
        status, lines = self.run_main(xml="<testsuite>" + self.case("a", "fail", text) + "</testsuite>")
        self.assertEqual(1, status)
        self.assertEqual(["[----] ../test_a.c:7: Assertion Failed", "[----]   The expression (n) == (0U) is false.", "[FAIL] a::one: (0.75s)"],
                         [line.strip() for line in lines[1:-1]])
        text = "noise\nFAIL: test_x (t.T.test_x)\nTraceback\n  File\nAssertionError: 1 != 2\n\nRan 1 test in 1s\n\nFAILED (failures=1)\n"
        _, lines = self.run_main(xml="<testsuite>" + self.case("a", "fail", text) + "</testsuite>")
        self.assertEqual(["FAIL: test_x (t.T.test_x)", "AssertionError: 1 != 2"], [line.strip() for line in lines[1:-1]])

    def test_of_many_reasons_the_first_are_shown_and_the_others_counted(self):
        text = "".join(f"FAIL: test_{k} {'x' * 1000}\n" for k in range(100))
        _, lines = self.run_main(xml="<testsuite>" + self.case("a", "fail", text) + "</testsuite>")
        self.assertEqual(tally.WHY_LINES_MAX, len(lines) - 3)
        self.assertEqual("and 80 lines more", lines[-2].strip())
        self.assertTrue(all(len(line) < 320 for line in lines))

    def test_slowest_are_named_in_order_and_no_more_than_asked_for(self):
        cases = "".join(f'<testcase name="{name}" status="run" time="{seconds}"/>' for name, seconds in (("a", 1.2), ("b", 33.3), ("c", 4.5)))
        status, lines = self.run_main("--slowest", "2", xml=f"<testsuite>{cases}</testsuite>")
        self.assertEqual(0, status)
        self.assertEqual(["slowest: b 33 s, c 4 s", "3 passed, 0 failed"], lines)

    def test_missing_file_is_a_failure(self):
        status, lines = self.run_main("/nonexistent/tests.xml")
        self.assertEqual((1, "0 passed, 1 failed"), (status, lines[-1]))

    def test_nothing_ran_is_a_failure(self):
        status, lines = self.run_main(xml="<testsuite></testsuite>")
        self.assertEqual((1, "0 passed, 1 failed"), (status, lines[-1]))

    def test_failed_lint_is_a_failure(self):
        status, lines = self.run_main("--case", "tidy=fail", xml="<testsuite>" + self.case("a", "run", "ok") + "</testsuite>")
        self.assertEqual((1, "1 passed, 1 failed"), (status, lines[-1]))


if __name__ == "__main__":
    unittest.main()
