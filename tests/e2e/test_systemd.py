"""The shipped units under a real systemd: readiness, reload, watchdog, the store of descriptors, socket activation.

Where no systemd can be started these tests are skipped by name; test_notify.py and test_reload.py look at the same with a socket of
their own in the manager's place.
"""
# ctest: long
# ctest: timeout=300
import configparser
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

import harness
import systemd_manager
from harness import eventually

UNITS = harness.SOURCE / "systemd"
# Not for a manager without rights: the sandbox, and the user made for the service. `systemd-analyze verify` reads them.
ONLY_OF_SYSTEM = ("DynamicUser", "CapabilityBoundingSet", "Protect", "Private", "Restrict", "NoNewPrivileges", "LockPersonality",
                  "SystemCall", "ConfigurationDirectory", "LimitNOFILE")
UNIT = "molecule-sidecar@web.service"
SOCKET = "molecule-sidecar@web.socket"


def shipped(name, replace, drop=()):
    lines = (UNITS / name).read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith(tuple(drop)))
    for old, new in replace.items():
        assert old in text, f"{old} is not in {name}"
        text = text.replace(old, new)
    return text + "\n"


class UnitFiles(unittest.TestCase):
    @unittest.skipUnless(shutil.which("systemd-analyze"), "no systemd-analyze is installed")
    def test_systemd_has_nothing_to_say_about_the_units(self):
        with tempfile.TemporaryDirectory(prefix="ms-") as d:
            program = pathlib.Path(d) / "molecule-sidecar"
            shutil.copy(harness.SIDECAR, program)
            for unit in UNITS.iterdir():
                replace = {"ExecStart=molecule-sidecar": f"ExecStart={program}", "ExecReload=molecule-sidecar": f"ExecReload={program}"}
                (pathlib.Path(d) / unit.name).write_text(shipped(unit.name, replace if unit.suffix == ".service" else {}))
            files = sorted(str(p) for p in pathlib.Path(d).iterdir() if p != program)
            self.assertEqual(len(files), 2)
            r = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *files],
                               capture_output=True, text=True, timeout=120)
            self.assertEqual((r.returncode, r.stdout + r.stderr), (0, ""))

    def test_the_timeouts_fit_the_defaults(self):
        unit = configparser.RawConfigParser(strict=False, comment_prefixes="#")
        unit.optionxform = str
        unit.read(UNITS / "molecule-sidecar@.service")
        service = unit["Service"]
        seconds = {"s": 1, "min": 60}
        value = lambda key: next(int(service[key].removesuffix(u)) * n for u, n in seconds.items() if service[key].removesuffix(u).isdigit())
        self.assertGreater(value("WatchdogSec"), 30 + 60)    # restart.backoff_max + agent.start_timeout
        self.assertGreater(value("TimeoutStartSec"), 10 + 60)  # secrets.start_wait + agent.start_timeout
        self.assertGreater(value("TimeoutStopSec"), 10)      # stop.grace


WHY_NOT = systemd_manager.unavailable()


@unittest.skipIf(WHY_NOT, f"no real systemd here: {WHY_NOT}")
class RealSystemd(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = pathlib.Path(tempfile.mkdtemp(prefix="ms-", dir="/tmp"))
        cls.addClassCleanup(shutil.rmtree, cls.dir, ignore_errors=True)
        cls.manager = systemd_manager.Manager(cls.dir)
        cls.addClassCleanup(cls.manager.close)
        cls.etc = cls.dir / "home/etc"
        cls.etc.mkdir()

    def setUp(self):
        self.port, self.admin = harness.free_port(), harness.free_port()
        self.control = self.dir / "run/molecule-sidecar/web/control.sock"
        (self.etc / "web.env").write_text(f"AGENT_COMMAND={sys.executable} {harness.SOURCE}/examples/python/agent.py\n"
                                          "MOLECULE_SIDECAR_PLATFORM_ENABLED=false\n")
        self.configure()
        self.addCleanup(self.stop)

    def stop(self):
        if any(e for _, e in getattr(self._outcome, "errors", [])) or not self._outcome.success:
            print((self.dir / "home/log").read_text(errors="replace")[-8000:], file=sys.stderr)
            print(self.manager.run("status", UNIT).stdout, file=sys.stderr)
        self.manager.run("stop", SOCKET, UNIT)
        self.manager.run("reset-failed")

    def configure(self, more="", port=None):
        (self.etc / "web.yaml").write_text(f"listen:\n  address: 127.0.0.1:{port or self.port}\nadmin:\n  address: 127.0.0.1:{self.admin}\n{more}")

    def install(self, **values):
        replace = {"/etc/molecule-sidecar/%i": f"{self.etc}/%i", "=molecule-sidecar r": f"={harness.SIDECAR} r"}
        text = shipped("molecule-sidecar@.service", replace, ONLY_OF_SYSTEM)
        for key, value in values.items():
            text = "\n".join(f"{key}={value}" if line.startswith(f"{key}=") else line for line in text.splitlines()) + "\n"
        self.assertIn("Type=notify\n", text)
        text = text.replace("[Service]\n", f"[Service]\nStandardError=append:{self.dir}/home/log\nStandardOutput=append:{self.dir}/home/log\n")
        (self.dir / "units/molecule-sidecar@.service").write_text(text)
        (self.dir / "units/molecule-sidecar@.socket").write_text(
            shipped("molecule-sidecar@.socket", {"ListenStream=127.0.0.1:8000": f"ListenStream=127.0.0.1:{self.port}"}))
        self.manager.do("daemon-reload")

    def ask(self, port=None):
        return harness.post(port or self.port, "/", harness.a2a("hello")).status

    def test_start_waits_for_ready_and_stop_ends_in_order(self):
        self.install()
        self.manager.do("start", UNIT)
        self.assertEqual(self.ask(), 200)  # at once: READY=1 came with the agent's first answer
        eventually(lambda: "running; agent answers" in self.manager.show(UNIT, "StatusText"), "the status is told", every=0.1)
        self.manager.wait(UNIT, "NFileDescriptorStore", "1")
        self.manager.do("stop", UNIT)
        self.assertEqual(self.manager.show(UNIT, "ActiveState"), "inactive")
        self.assertEqual(self.manager.show(UNIT, "Result"), "success")

    def test_reload_takes_over_what_can_change_and_fails_with_a_bad_file(self):
        self.install()
        self.manager.do("start", UNIT)
        self.configure("stop:\n  grace: 7s\n")
        self.manager.do("reload", UNIT)
        self.assertEqual(harness.get(str(self.control), "/v1/status").json["stop"]["grace_ms"], 7000)
        self.manager.wait(UNIT, "SubState", "running")
        self.configure("stop:\n  grace: never\n")
        self.assertNotEqual(self.manager.run("reload", UNIT).returncode, 0)
        self.assertEqual(harness.get(str(self.control), "/v1/status").json["stop"]["grace_ms"], 7000)
        self.manager.wait(UNIT, "SubState", "running")
        self.assertEqual(self.manager.show(UNIT, "NRestarts"), "0")
        self.assertEqual(self.ask(), 200)

    def test_the_manager_restarts_a_sidecar_whose_loop_hangs(self):
        self.install(WatchdogSec="8s", TimeoutStopSec="5s")
        self.manager.do("start", UNIT)
        pid = self.manager.show(UNIT, "MainPID")
        self.manager.do("kill", "--kill-whom=main", "-s", "STOP", UNIT)
        eventually(lambda: self.manager.show(UNIT, "MainPID") not in (pid, "0"), "it was started again", 90, every=0.2)
        self.manager.wait(UNIT, "ActiveState", "active")
        self.assertNotEqual(self.manager.show(UNIT, "NRestarts"), "0")
        self.assertEqual(self.ask(), 200)

    def test_nobody_is_refused_while_we_restart(self):
        self.install()
        self.manager.do("start", UNIT)
        refused, ends = [], threading.Event()

        def connect():
            while not ends.is_set():
                try:
                    with socket.create_connection(("127.0.0.1", self.port), timeout=harness.PATIENCE):
                        pass
                except ConnectionRefusedError as problem:
                    refused.append(problem)
                except OSError:
                    pass  # a reset by the process that was killed
                ends.wait(0.005)
        pid = self.manager.show(UNIT, "MainPID")
        t = threading.Thread(target=connect)
        t.start()
        try:
            self.manager.do("kill", "--kill-whom=main", "-s", "KILL", UNIT)
            eventually(lambda: self.manager.show(UNIT, "MainPID") != pid, "it was killed", 90)
            self.assertEqual(harness.post(self.port, "/", harness.a2a("who waits is answered"), timeout=60).status, 200)
        finally:
            ends.set()
            t.join()
        self.assertEqual(refused, [])
        self.assertEqual(self.manager.show(UNIT, "NRestarts"), "1")
        self.manager.wait(UNIT, "NFileDescriptorStore", "1")

    def test_another_address_drops_the_socket_that_was_kept(self):
        self.install()
        self.manager.do("start", UNIT)
        other = harness.free_port()
        self.configure(port=other)
        self.manager.do("restart", UNIT)
        self.assertEqual(self.ask(other), 200)
        with self.assertRaises(ConnectionRefusedError):
            self.ask(self.port)
        self.manager.wait(UNIT, "NFileDescriptorStore", "1")

    def test_a_socket_unit_starts_it_with_the_first_connection(self):
        self.install()
        self.configure(port=harness.free_port())  # the socket unit's address wins
        self.manager.do("start", SOCKET)
        self.assertEqual(self.manager.show(UNIT, "ActiveState"), "inactive")
        self.assertEqual(harness.post(self.port, "/", harness.a2a("hello"), timeout=60).status, 200)
        self.manager.wait(UNIT, "ActiveState", "active")
        self.assertEqual(self.manager.show(UNIT, "NFileDescriptorStore"), "0")


if __name__ == "__main__":
    unittest.main()
