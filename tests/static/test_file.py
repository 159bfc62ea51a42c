"""The static build's file itself: no loader, no library, no symbols, small, and hardened as the release build is."""
import os
import pathlib
import re
import subprocess
import unittest

SIDECAR = pathlib.Path(os.environ["SIDECAR_BIN"])
BINARIES = [SIDECAR, pathlib.Path(os.environ["DEVPLATFORM_BIN"])]
SIZE_MAX = 7 * 1024 * 1024


def readelf(option, path):
    return subprocess.run(["readelf", option, "--wide", path], capture_output=True, text=True, check=True).stdout


class File(unittest.TestCase):
    def each(self, option, suffix=""):
        return [readelf(option, f"{path}{suffix}") for path in BINARIES]

    def test_no_loader_and_no_library(self):
        for headers, dynamic in zip(self.each("--program-headers"), self.each("--dynamic")):
            self.assertNotIn("INTERP", headers)
            self.assertNotIn("(NEEDED)", dynamic)

    def test_stripped_and_small(self):
        for text in self.each("--section-headers"):
            self.assertNotRegex(text, r"\.symtab|\.debug_info")
        self.assertLessEqual(SIDECAR.stat().st_size, SIZE_MAX)

    def test_debug_information_lies_beside_it(self):
        build_id = re.compile(r"Build ID: ([0-9a-f]{40})")
        for own, beside in zip(self.each("--notes"), self.each("--notes", ".debug")):
            self.assertEqual(build_id.search(own)[1], build_id.search(beside)[1])

    def test_hardened(self):
        for headers in self.each("--program-headers"):
            self.assertIn("GNU_RELRO", headers)
            self.assertRegex(headers, r"GNU_STACK\s.*\sRW\s")
        for header in self.each("--file-header"):
            self.assertRegex(header, r"Type:\s+DYN", "position independent")
        for symbols in self.each("--symbols", ".debug"):
            for name in (r"__stack_chk_fail", r"__\w+_chk\b", r"__assert_fail"):
                self.assertRegex(symbols, name)

    def test_nothing_asks_the_name_service(self):
        for symbols in self.each("--symbols", ".debug"):
            for name in ("__nss_lookup_function", "_nss_files_gethostbyname4_r", "gaih_inet"):
                self.assertNotRegex(symbols, rf"\b{name}\b")


if __name__ == "__main__":
    unittest.main()
