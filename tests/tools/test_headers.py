"""Each header compiles alone: a caller needs no other include and no luck with the order."""
import concurrent.futures
import os
import subprocess
import unittest

import layers

ROOT = os.environ["SOURCE_DIR"]
CC = os.environ["CC"].split(";")
PACKAGES = ["libuv", "json-c", "yaml-0.1", "libcurl", "openssl"]


def compile_alone(path, flags):
    command = CC + ["-x", "c", "-std=gnu17", "-D_GNU_SOURCE", "-fsyntax-only", "-Wall", "-Wextra", "-Werror",
                    "-I", os.path.join(ROOT, "sidecar"), "-I", ROOT, *flags, "-include", path, "/dev/null"]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


class Headers(unittest.TestCase):
    def test_each_header_compiles_alone(self):
        flags = subprocess.run(["pkg-config", "--cflags", *PACKAGES], capture_output=True, text=True, check=True).stdout.split()
        flags += ["-isystem", os.environ["LLHTTP_INCLUDE_DIR"]]
        headers = [h for folder in ("sidecar", "devplatform") for h in layers.files(ROOT, folder, (".h",))]
        with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
            for path, done in zip(headers, pool.map(lambda h: compile_alone(h, flags), headers)):
                with self.subTest(header=os.path.relpath(path, ROOT)):
                    self.assertEqual(0, done.returncode, done.stderr)

    def test_each_header_has_a_guard_named_after_it(self):
        for folder in ("sidecar", "devplatform"):
            for path in layers.files(ROOT, folder, (".h",)):
                rel = os.path.relpath(path, os.path.join(ROOT, "sidecar") if folder == "sidecar" else ROOT)
                guard = rel.upper().replace("/", "_").replace(".", "_").replace("-", "_")
                with self.subTest(header=rel), open(path, encoding="utf-8") as f:
                    self.assertIn(f"#ifndef {guard}\n#define {guard}\n", f.read())


if __name__ == "__main__":
    unittest.main()
