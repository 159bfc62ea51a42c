"""What bad input gets: a sentence that says what, where and how to fix it."""
# ctest: long
import os
import pathlib
import socket
import stat
import unittest
import uuid

import harness
from harness import eventually, example_agent, get, post, python


class BadInput(harness.Case):
    def refused(self, *flags, words, env=None, config=None, status=2, command=("sleep", "1000"), platform=None, **kw):
        side = self.sidecar(platform, *flags, command=list(command) if command else None, env=env, config=config, **kw)
        code = side.wait_exit()
        self.assertEqual(code, status, side.text())
        for word in [words] if isinstance(words, str) else words:
            self.assertRegex(side.text(), word)
        return side

    def test_workspace_ids(self):
        p = self.platform()
        self.refused(platform=p, env={"WORKSPACE_ID": None}, words=["workspace.id", "WORKSPACE_ID"])
        self.refused(platform=p, env={"WORKSPACE_ID": "ws-123"}, words=["ws-123", "UUID"])
        self.refused(platform=p, env={"WORKSPACE_ID": "6f1c3a52"}, words=["UUID"])

    def test_ports(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            port = s.getsockname()[1]
            self.refused("--listen-address", f"127.0.0.1:{port}", words=[str(port), "(in use|taken)", "listen.address"], status=2)
            self.refused("--admin-address", f"127.0.0.1:{port}", words=[str(port), "(in use|taken)", "admin.address"], status=2)
        self.refused("--listen-address", "127.0.0.1:70000", words=["70000", "65535"])
        self.refused("--listen-address", "nonsense", words=["nonsense", "listen"])

    def test_sockets(self):
        long = "/tmp/" + "x" * 120
        self.refused("--agent-address", f"unix:{long}", words=["107|108", "agent.address"])
        self.refused("--control-socket", str(self.dir / "no/such/dir/c.sock"), words=["no/such/dir"])
        file = self.dir / "file.sock"
        file.write_text("precious")
        self.refused("--control-socket", str(file), words=["file.sock", "not a socket"])
        self.assertEqual(file.read_text(), "precious", "only sockets are removed")

    def test_stale_socket_is_replaced_a_live_one_is_not(self):
        path = self.dir / "c.sock"
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(str(path))
        side = self.sidecar(None, "--control-socket", str(path), command=["sleep", "1000"])
        side.wait_probe("startupz")
        self.assertTrue(stat.S_ISSOCK(path.stat().st_mode))
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        self.refused("--control-socket", str(path), words=["c.sock", "another process answers"])
        self.assertTrue(side.is_running())

    def test_agent_socket_not_writable(self):
        where = self.sub_dir()
        (where / "run").mkdir()
        (where / "state").mkdir()
        become, program = harness.ordinary_user(where)
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(str(where / "run/agent.sock"))
            (where / "run/agent.sock").chmod(0)
            s.listen()
            side = self.sidecar(None, "--forward-hold-timeout", "200ms", "--agent-start-timeout", "500ms", directory=where, preexec=become, program=program)
            eventually(lambda: "mode 0000" in get(side.admin, "/readyz?verbose").text, "the probe names mode and owner")
            self.assertRegex(get(side.admin, "/readyz?verbose").text, "owner")
            a = side.send("x")
            self.assertEqual(a.status, 503)
            self.assertRegex(a.text, "AGENT_UNAVAILABLE")
            self.assertRegex(a.text, "agent.sock.*mode 0000 and owner")
            side.wait_line("has not answered within 500ms.*mode 0000 and owner")

    def test_commands(self):
        self.refused(command=["/nonexistent"], words=["/nonexistent", "No such file"])
        side = self.sidecar(None, "--restart-max", "2", "--restart-backoff", "20ms", command=["/bin/sh", "-c", "echo oops >&2; exit 3"])
        self.assertEqual(side.wait_exit(), 3)
        self.assertRegex(side.text(), "oops")

    def test_keys_and_values(self):
        self.refused(config="listen:\n  adress: x\n", words=[r"sidecar.yaml:2", "adress", "address"])
        self.refused(config="nonsense:\n  a: 1\n", words=[r"sidecar.yaml:\d", "nonsense"])
        self.refused(config="stop:\n  grace: 30\n", words=[r"sidecar.yaml:2", "stop.grace", "unit"])
        self.refused(config="listen:\n  max_body: 5 parsecs\n", words=[r"sidecar.yaml:2", "listen.max_body"])
        self.refused(config="restart:\n  policy: sometimes\n", words=["sometimes", "on-failure"])
        self.refused(config="a: [1\n", words=[r"sidecar.yaml:\d"])
        self.refused("--listen-adress", "x", words=["--listen-adress", "--listen-address"])
        self.refused("--config", str(self.dir / "missing.yaml"), words=["missing.yaml", "No such file"])
        self.refused("--platform-token", "abc", words=["token", "MOLECULE_WORKSPACE_TOKEN|token_file"])

    def test_a_budget_that_cannot_be_kept(self):
        self.refused("--stop-grace", "5s", "--stop-drain-delay", "20s", words=["drain_delay", "20s", "5s"])

    def test_all_problems_at_once(self):
        self.refused(config="listen:\n  adress: x\nstop:\n  grace: never\n", words=["adress", "stop.grace"])

    def test_environment(self):
        self.refused(env={"MOLECULE_SIDECAR_STOP_GRACE": "soon"}, words=["MOLECULE_SIDECAR_STOP_GRACE", "soon"])
        side = self.sidecar(command=["sleep", "1000"], env={"MOLECULE_SIDECAR_NOT_A_KEY": "1", "MOLECULE_SIDECAR_PORT": "tcp://10.0.0.1:80",
                                                            "MOLECULE_SIDECAR_SERVICE_HOST": "10.0.0.1"})
        side.wait_probe("startupz")
        side.wait_line("MOLECULE_SIDECAR_NOT_A_KEY")
        self.assertNotIn("MOLECULE_SIDECAR_SERVICE_HOST", side.text())

    def test_token_files(self):
        p = self.platform()
        env = {"MOLECULE_WORKSPACE_TOKEN": None, "MOLECULE_WORKSPACE_TOKEN_FILE": str(self.dir / "t")}
        self.refused(platform=p, env=env, words=["t\\b", "No such file"])
        (self.dir / "t").write_text("")
        self.refused(platform=p, env=env, words=["empty"])
        (self.dir / "t").write_text("two words\n")
        self.refused(platform=p, env=env, words=["blank|whitespace|space"])

    def test_workspaces_with_more_than_one_entry(self):
        p = self.platform()
        two = f'[{{"id":"{uuid.uuid4()}","token":"a"}},{{"id":"{uuid.uuid4()}","token":"b"}}]'
        self.refused(platform=p, env={"MOLECULE_WORKSPACES": two}, words=["MOLECULE_WORKSPACES"])

    def test_token_refused_at_bootstrap(self):
        p = self.platform()
        side = self.refused(platform=p, env={"MOLECULE_WORKSPACE_TOKEN": None}, status=3, words=["token"])
        self.assertNotIn(p.token, side.text())

    def test_unreachable_platform_is_told_and_survived(self):
        port = harness.free_port()
        side = self.sidecar(None, "--platform-enabled", "true", "--platform-url", f"http://127.0.0.1:{port}", "--secrets-start-wait", "5s",
                            command=example_agent(), env={"WORKSPACE_ID": str(uuid.uuid4()), "MOLECULE_WORKSPACE_TOKEN": harness.TOKEN})
        side.wait_ready()
        side.wait_line(f"127.0.0.1:{port}.*platform.url")
        side.wait_line("the agent starts all the same, at most 5s after us")

    def test_https_url_of_a_plain_http_platform(self):
        platform = self.platform()
        url = platform.url.replace("http://", "https://")
        side = self.sidecar(None, "--platform-enabled", "true", "--platform-url", url, "--secrets-start-wait", "200ms",
                            command=example_agent(), env={"WORKSPACE_ID": str(uuid.uuid4()), "MOLECULE_WORKSPACE_TOKEN": harness.TOKEN})
        side.wait_ready()
        side.wait_line("http:// instead of https://")

    def test_bad_urls(self):
        p = self.platform()
        self.refused("--platform-url", "ftp://x", platform=p, words=["ftp://x", "http"])
        self.refused(platform=p, env={"MOLECULE_REPORTED_URL": "not a url"}, words=["reported_url|MOLECULE_REPORTED_URL"])

    def test_usage(self):
        for args, words in ((["runn"], "run"), (["run", "--stop-grace"], "--stop-grace"), ([], "run")):
            p = self.process("sidecar", [harness.SIDECAR, *args])
            self.assertEqual(p.wait_exit(), 2, args)
            self.assertRegex(p.text(), words)

    def test_check_config(self):
        side = self.sidecar(command=["sleep", "1000"])
        file = self.dir / "good.yaml"
        file.write_text("workspace:\n  id: 6f1c3a52-0d1e-4b7e-9a35-0c8f1f5a2b10\nstop:\n  grace: 45s\n")
        code, out, err = side.command("check-config", str(file))
        self.assertEqual(code, 0, err)
        self.assertRegex(out, r"45s.*good.yaml:4")
        file.write_text("stop:\n  grase: 45s\n")
        code, out, err = side.command("check-config", str(file))
        self.assertEqual(code, 2)
        self.assertRegex(out + err, r"good.yaml:2.*grase.*grace")


if __name__ == "__main__":
    unittest.main()
