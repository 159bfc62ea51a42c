"""The list of contents beside each static program is SPDX 2.3 and names every package of molecule-sidecar.packages, and the program."""
import hashlib
import json
import os
import pathlib
import re
import subprocess
import unittest

BINARIES = [pathlib.Path(os.environ["SIDECAR_BIN"]), pathlib.Path(os.environ["DEVPLATFORM_BIN"])]
BUILD = BINARIES[0].parent
PACKAGES = BUILD / "molecule-sidecar.packages"
GENERATOR = pathlib.Path(os.environ["SOURCE_DIR"]) / "cmake/sbom.cmake"
ID = re.compile(r"SPDXRef-[A-Za-z0-9.-]+")
PURL = re.compile(r"pkg:deb/debian/[a-z0-9.+%B-]+@[A-Za-z0-9.~%-]+\?distro=debian-12&upstream=[a-z0-9.%B-]+@[A-Za-z0-9.~%-]+")


class Bill(unittest.TestCase):
    def bills(self):
        for binary in BINARIES:
            yield binary, json.loads(pathlib.Path(f"{binary}.spdx.json").read_text())

    def make(self, program, packages, out, check=True):
        return subprocess.run(["cmake", f"-DPROGRAM={program}", f"-DPACKAGES={packages}", "-DVERSION=1", "-DREVISION=r", "-DARCHITECTURE=any",
                               f"-DOUT={out}", "-P", GENERATOR], check=check, capture_output=True, text=True, timeout=60)

    def test_shape(self):
        for binary, bill in self.bills():
            self.assertEqual((bill["spdxVersion"], bill["dataLicense"], bill["SPDXID"]), ("SPDX-2.3", "CC0-1.0", "SPDXRef-DOCUMENT"))
            self.assertRegex(bill["documentNamespace"], r"^urn:uuid:[0-9a-f-]{36}$")
            self.assertRegex(bill["creationInfo"]["created"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
            self.assertRegex(bill["creationInfo"]["creators"][0], r"^Tool: ")
            ids = [package["SPDXID"] for package in bill["packages"]]
            self.assertEqual(len(ids), len(set(ids)))
            for package in bill["packages"]:
                self.assertRegex(package["SPDXID"], f"^{ID.pattern}$")
                for key in ("name", "versionInfo", "downloadLocation", "licenseConcluded", "licenseDeclared", "copyrightText"):
                    self.assertTrue(package[key], key)
            for relation in bill["relationships"]:
                self.assertIn(relation["spdxElementId"], [*ids, "SPDXRef-DOCUMENT"])
                self.assertIn(relation["relatedSpdxElement"], ids)
            self.assertEqual({r["relatedSpdxElement"] for r in bill["relationships"]}, set(ids), "nothing hangs loose")

    def test_names_every_package(self):
        rows = [line.split() for line in PACKAGES.read_text().splitlines()]
        self.assertGreaterEqual(len(rows), 8)
        for _, bill in self.bills():
            found = [p for p in bill["packages"] if p["SPDXID"] != "SPDXRef-Program"]
            self.assertEqual([[p["name"], p["versionInfo"]] for p in found], [row[:2] for row in rows])
            for package, (name, version, source, source_version) in zip(found, rows):
                self.assertEqual(package["sourceInfo"], f"linked statically, built from: {source} {source_version}")
                locator = package["externalRefs"][0]["referenceLocator"]
                self.assertRegex(locator, f"^{PURL.pattern}$")
                self.assertNotIn("+", locator, "a plus is a blank to some readers")

    def test_the_sum_is_the_program_s(self):
        for binary, bill in self.bills():
            program = next(p for p in bill["packages"] if p["SPDXID"] == "SPDXRef-Program")
            self.assertEqual(program["name"], binary.name)
            self.assertEqual(program["checksums"], [{"algorithm": "SHA256", "checksumValue": hashlib.sha256(binary.read_bytes()).hexdigest()}])

    def test_a_line_that_it_does_not_understand_is_named(self):
        bad, out = BUILD / "bill-bad.packages", BUILD / "bill-bad.json"
        self.addCleanup(bad.unlink)
        bad.write_text("libuv1-dev 1.44\n")
        done = self.make(BINARIES[0], bad, out, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("libuv1-dev 1.44", done.stderr)
        self.assertFalse(out.exists())


if __name__ == "__main__":
    unittest.main()
