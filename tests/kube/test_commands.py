"""Commands in the documents that run the sidecar's program in a container name it as it lies there: the images hold /molecule-sidecar, the wrapper's
agent /molecule/molecule-sidecar (or where `install DIR` put it), and none of them is on a PATH. And nobody is sent to the admin port through the API server's proxy, which the
chart's NetworkPolicy keeps out."""
import re
import unittest

import tools

PLACES = ("README.md", "docs/*.md", "helm/**/*.md", "helm/**/*.yaml", "helm/**/*.tpl", "helm/**/NOTES.txt", "docker/*", "examples/**/*.md", "manifests/**/*")
# What stands where a container's program is named, behind `exec ... --` or `docker exec NAME`, or first in a probe's list.
CALLS = (re.compile(r"kubectl\b.*?\bexec\b.*? -- (\S*molecule-sidecar)\b"), re.compile(r"(?:docker|podman) exec (?:-\S+ )*\S+ (\S*molecule-sidecar)\b"),
         re.compile(r"(?:exec|command): *\{?(?:command: *)?\[\"?([^\s,\"\]]*molecule-sidecar)\b"))


def lines():
    for place in PLACES:
        for path in sorted(tools.SOURCE.glob(place)):
            if path.is_file():
                for number, line in enumerate(path.read_text().splitlines(), 1):
                    yield f"{path.relative_to(tools.SOURCE)}:{number}", line


def calls(line):
    return [program for pattern in CALLS for program in pattern.findall(line)]


class Commands(unittest.TestCase):
    def test_each_names_the_program_by_its_path(self):
        found = 0
        for where, line in lines():
            for program in calls(line):
                found += 1
                self.assertTrue(program.startswith("/"), f"{where}: {line.strip()}")
        self.assertGreater(found, 3)

    def test_none_asks_the_admin_port_through_the_proxy(self):
        for where, line in lines():
            self.assertNotRegex(line, r"kubectl get --raw \S*/proxy/", where)

    def test_what_is_looked_for(self):
        for line in ("kubectl -n a exec POD -c molecule-sidecar -- molecule-sidecar status", "exec: [molecule-sidecar, health, ready]",
                     "exec: {command: [molecule-sidecar, health]}", "docker exec -it ID molecule-sidecar status"):
            self.assertEqual(calls(line), ["molecule-sidecar"], line)
        self.assertEqual(calls("kubectl logs POD -c molecule-sidecar -f"), [])


if __name__ == "__main__":
    unittest.main()
