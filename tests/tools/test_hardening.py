"""The release binaries carry their hardening: looked up in the files themselves, not in the flags. Only in hardened builds."""
import os
import subprocess
import unittest

BINARIES = [os.environ["SIDECAR_BIN"], os.environ["DEVPLATFORM_BIN"]]


def readelf(option, path):
    return subprocess.run(["readelf", option, "--wide", path], capture_output=True, text=True, check=True).stdout


class Hardening(unittest.TestCase):
    def each(self, option):
        return [readelf(option, path) for path in BINARIES]

    def test_binary_is_position_independent(self):
        for text in self.each("--file-header"):
            self.assertRegex(text, r"Type:\s+DYN")

    def test_relocations_are_read_only_and_bound_at_start(self):
        for text in self.each("--program-headers"):
            self.assertIn("GNU_RELRO", text)
        for text in self.each("--dynamic"):
            self.assertRegex(text, r"BIND_NOW|FLAGS_1.*NOW")

    def test_stack_is_not_executable(self):
        for text in self.each("--program-headers"):
            self.assertRegex(text, r"GNU_STACK\s.*\sRW\s")

    def test_stack_protector_is_in_use(self):
        for text in self.each("--symbols"):
            self.assertIn("__stack_chk_fail", text)

    def test_checked_string_functions_are_in_use(self):
        for text in self.each("--symbols"):
            self.assertRegex(text, r"__\w+_chk")

    def test_assertions_are_on(self):
        for text in self.each("--symbols"):
            self.assertIn("__assert_fail", text)


if __name__ == "__main__":
    unittest.main()
