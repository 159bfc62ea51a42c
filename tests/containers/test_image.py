"""What is in the images, and what the sidecar's does when it is locked in as hard as can be: PID 1, no root, nothing writable."""
import json
import re
import unittest

import engine

UNPACKED_MAX = 12 * 1024 * 1024
PROGRAM = "/molecule-sidecar"
DOCS = "/usr/share/doc/molecule-sidecar"
WORKSPACE = "6f1c3a52-0d1e-4b7e-9a35-0c8f1f5a2b10"
ALONE = ["-e", "MOLECULE_SIDECAR_PLATFORM_ENABLED=false"]


def setUpModule():
    engine.need()


class Contents(unittest.TestCase):
    """The sidecar's image, by its files."""

    @classmethod
    def setUpClass(cls):
        cls.name = engine.image("sidecar")
        cls.files = engine.files(cls.name)

    def test_small(self):
        size = sum(member.size for member in self.files.values() if member.isreg())
        print(f"{self.name}: {size / 2**20:.2f} MiB unpacked, the program {self.files[PROGRAM].size / 2**20:.2f} MiB")
        self.assertLessEqual(size, UNPACKED_MAX)

    def test_no_shell_and_no_library(self):
        made_by_engine = ("/dev", "/proc", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/etc/mtab", "/run/.containerenv",
                          "/.dockerenv", "/run/secrets")
        ours = {path for path, member in self.files.items() if member.isreg() and not path.startswith(made_by_engine)}
        self.assertEqual(ours, {PROGRAM, "/etc/ssl/certs/ca-certificates.crt", "/etc/passwd", "/etc/group", f"{DOCS}/LICENSE",
                                f"{DOCS}/molecule-sidecar.packages", f"{DOCS}/molecule-sidecar.spdx.json"})
        self.assertEqual([path for path, member in self.files.items() if member.isreg() and member.mode & 0o111], [PROGRAM])
        self.assertEqual([path for path, member in self.files.items() if member.mode & 0o6000], [], "no set-user-id bits")

    def test_directories_that_are_written_to_belong_to_its_user(self):
        for path, mode in (("/run/molecule", 0o700), ("/var/lib/molecule", 0o700), ("/run/molecule-agent", 0o770)):
            found = self.files[path]
            self.assertEqual((found.uid, found.gid, oct(found.mode & 0o7777)), (65532, 65532, oct(mode)), path)
        self.assertEqual(oct(self.files["/tmp"].mode & 0o7777), oct(0o1777))
        for path in (PROGRAM, "/etc/passwd", "/etc", "/usr"):
            self.assertEqual((self.files[path].uid, self.files[path].mode & 0o022), (0, 0), f"{path} is root's alone to change")

    def test_configuration(self):
        config = engine.facts("sidecar")
        self.assertEqual(config["User"], "65532:65532")
        self.assertEqual((config["Entrypoint"], config["Cmd"]), ([PROGRAM], ["run"]))
        self.assertEqual(set(config["ExposedPorts"]), {"8000/tcp", "8081/tcp"})
        self.assertIn(config["StopSignal"], ("SIGTERM", "TERM"))

    def test_labels_say_what_it_is(self):
        for target, title in (("sidecar", "molecule-sidecar"), ("wrapper", "molecule-sidecar-wrapper"), ("devplatform", "molecule-devplatform")):
            labels = engine.facts(target)["Labels"]
            for key in ("version", "revision", "created"):
                self.assertEqual(labels[f"org.opencontainers.image.{key}"], engine.FACTS[key.upper()], target)
            self.assertEqual(labels["org.opencontainers.image.title"], title)
            self.assertEqual(labels["org.opencontainers.image.licenses"], "Apache-2.0")
            self.assertIn("org.opencontainers.image.description", labels)
        once = re.findall(r"image\.(licenses|version|revision|created)=", (engine.SOURCE / "docker/Dockerfile").read_text(encoding="utf-8"))
        self.assertEqual(len(once), len(set(once)), "what all images say is written in one place")

    def test_health_check_is_ours(self):
        for target, words in (("sidecar", [PROGRAM, "health"]), ("wrapped", ["/usr/local/bin/molecule-sidecar", "health"]),
                              ("devplatform", ["/molecule-devplatform", "--check", "--listen", "0.0.0.0:8080"])):
            check = engine.health_of(target)
            self.assertEqual(check["Test"], ["CMD", *words])
            if target == "devplatform":  # it is asked where it listens
                self.assertEqual(engine.facts(target)["Entrypoint"][1:3], words[2:])
            seconds = {key: check[key] / 1e9 for key in ("Interval", "Timeout", "StartPeriod")}
            self.assertTrue(seconds["Interval"] <= 30 and seconds["Timeout"] == 5 and seconds["StartPeriod"] == 30, seconds)
            self.assertEqual(check["Retries"], 3)

    def test_list_of_contents(self):
        lines = engine.read(self.name, f"{DOCS}/molecule-sidecar.packages").decode().splitlines()
        bill = json.loads(engine.read(self.name, f"{DOCS}/molecule-sidecar.spdx.json"))
        libraries = [p for p in bill["packages"] if p["SPDXID"] != "SPDXRef-Program"]
        self.assertEqual([f"{p['name']} {p['versionInfo']}" for p in libraries], [" ".join(line.split()[:2]) for line in lines])
        self.assertIn(engine.FACTS["REVISION"], next(p for p in bill["packages"] if p["SPDXID"] == "SPDXRef-Program")["comment"])


class Locked(engine.Case):
    """The sidecar's image at work: read-only root, no capabilities, no new privileges, PID 1 as 65532."""

    @classmethod
    def setUpClass(cls):
        cls.image = engine.image("sidecar")

    def locked(self, *words, flags=()):
        return self.once(self.image, *words, flags=[*engine.LOCKED, *flags])

    def test_says_its_version_and_revision(self):
        done = self.locked("--version")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"molecule-sidecar {engine.FACTS['VERSION']} ({engine.FACTS['REVISION']})", done.stdout)

    def test_runs_and_ends_with_0(self):
        name = self.start("locked", self.image, flags=[*engine.LOCKED, *engine.tmpfs(), *ALONE])
        engine.eventually(lambda: engine.run("exec", name, PROGRAM, "health", "live").returncode == 0, "live")
        self.assertEqual(self.stop(name)[1], 0, self.logs(name))  # `stop` kills after 10 s: 137

    def test_no_answer_is_unhealthy_and_words(self):
        name = self.start("unhealthy", self.image, flags=[*engine.LOCKED, *engine.tmpfs(), *ALONE])
        engine.eventually(lambda: engine.run("exec", name, PROGRAM, "health", "live").returncode == 0, "live")
        done = engine.run("exec", name, PROGRAM, "health")
        self.assertEqual(done.returncode, 1, "there is no agent")
        self.assertIn("agent", done.stdout)

    def test_without_any_place_to_write(self):
        flags = [*engine.LOCKED, *ALONE]
        if engine.engine == "podman":
            flags.append("--read-only-tmpfs=false")
        done = self.locked("run", flags=flags)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertRegex(done.stderr, r"runtime directory.*cannot make the directory .*Read-only file system", "names the directory and why")

    def test_without_a_volume_for_the_state(self):
        name = self.start("stateless", self.image, flags=[*engine.LOCKED, *engine.tmpfs(), "-e", f"WORKSPACE_ID={WORKSPACE}", "-e",
                                                         "MOLECULE_API_URL=http://127.0.0.1:1"])
        self.wait_log(name, "there is no writable home directory, so the token is kept in /run/molecule/state, which does not survive")
        self.assertTrue(self.state(name)["Running"])

    def test_configuration_is_refused_with_2_and_a_sentence(self):
        done = self.locked("run", flags=["-e", "WORKSPACE_ID=none"])
        self.assertEqual(done.returncode, 2)
        self.assertIn("workspace.id", done.stderr)

    def test_a_name_that_nobody_knows(self):
        name = self.start("name", self.image, flags=[*engine.LOCKED, *engine.tmpfs(), "-e", f"WORKSPACE_ID={WORKSPACE}", "-e",
                                                     "MOLECULE_API_URL=http://nobody.invalid:8080"])
        self.wait_log(name, "cannot resolve nobody.invalid")

    def test_a_host_that_only_the_engine_knows(self):
        name = self.start("hosts", self.image, flags=[*engine.LOCKED, *engine.tmpfs(), "--add-host=platform.test:127.0.0.1", "-e",
                                                      f"WORKSPACE_ID={WORKSPACE}", "-e", "MOLECULE_API_URL=http://platform.test:1"])
        engine.eventually(lambda: re.search(r"platform\.test:1\b.*(refused|connect)|(refused|connect).*platform\.test", self.logs(name)),
                          "the name is found, the port is not")


class Wrapper(engine.Case):
    """The file that agent images copy."""

    def test_holds_one_program(self):
        files = engine.files(engine.image("wrapper"))
        self.assertEqual([path for path, member in files.items() if member.isreg() and member.mode & 0o111], ["/usr/local/bin/molecule-sidecar"])

    def test_installs_itself_into_a_volume(self):
        volume = f"{engine.RUN}-shared"
        engine.must("volume", "create", volume)
        self.addCleanup(engine.run, "volume", "rm", "-f", volume)
        done = self.once(engine.image("wrapper"), flags=["--read-only", "--cap-drop=ALL", "--user=0:0", "-v", f"{volume}:/shared"])
        self.assertEqual(done.returncode, 0, done.stderr)
        done = self.once(engine.BASE, "/shared/molecule-sidecar", "--version", flags=[*engine.LOCKED, "-v", f"{volume}:/shared:ro"])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("molecule-sidecar", done.stdout)

    def test_exit_codes_of_an_agent_in_one_container(self):
        image = engine.image("wrapped")
        for script, status in (("exit 42", 42), ("kill -9 $$", 137)):
            done = self.once(image, "sh", "-c", script, flags=[*ALONE, "-e", "MOLECULE_SIDECAR_RESTART_POLICY=never"])
            self.assertEqual(done.returncode, status, done.stderr)


if __name__ == "__main__":
    unittest.main()
