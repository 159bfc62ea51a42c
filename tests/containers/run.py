#!/usr/bin/env python3
"""Runs the tests of this folder, all or those named (test_image test_image.Locked ...). Last line: N passed, N failed[, N skipped].

A module that cannot run here (no engine, no base image) counts as one skipped case, and a line says why.
"""
import pathlib
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent


class Counting(unittest.TextTestResult):
    passed = 0

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1


def main(names):
    sys.path.insert(0, str(HERE))
    loader = unittest.defaultTestLoader
    suite = loader.loadTestsFromNames(names) if names else loader.discover(str(HERE))
    result = unittest.TextTestRunner(verbosity=2, resultclass=Counting).run(suite)
    for test, why in result.skipped:
        print(f"skipped: {test}: {why}")
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    if result.passed + failed + len(result.skipped) == 0:
        failed = 1
        print("failed: no test ran at all")
    print(f"{result.passed} passed, {failed} failed" + (f", {len(result.skipped)} skipped" if result.skipped else ""), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
