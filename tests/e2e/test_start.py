"""How the agent is started and how it says that it is ready: user, umask, limits, environment, descriptors, READY=1, a newline."""
# ctest: long
# ctest: timeout=300
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import stat
import subprocess
import unittest

import harness
from harness import eventually, example_agent, get, python
from test_notify import Manager

AGENT = harness.SOURCE / "examples/python/agent.py"
NOBODY = 65534
PYTHON = "/usr/bin/python3"  # where other users may go, too

# What every throw-away agent here may use.
PRELUDE = """
import json, os, resource, signal, socket, sys
def notify(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.sendto(text.encode(), os.environ['NOTIFY_SOCKET'])
def wait_for(gate):
    open(gate).close()
def tell(**facts):
    print(json.dumps(facts), flush=True)
"""


def agent(code, *args):
    return [PYTHON, "-c", PRELUDE + code, *args]


def serving(before, *args):
    """The example agent, on the socket it is told, after some code of ours."""
    return agent(before + "\nsys.argv = ['agent.py']\n" + AGENT.read_text(), *args)


def reasons(side):
    """What /readyz says while it is 503."""
    status, answer = side.probe("readyz")
    return "" if status == 200 else " ".join(answer.get("reasons", []))


class Start(harness.Case):
    def facts(self, side):
        """The JSON object that the agent has told."""
        return json.loads(eventually(lambda: [x for x in side.out if x.startswith('{"')], "the agent tells its facts")[0])

    def wait_reason(self, side, piece):
        eventually(lambda: piece in reasons(side), f"/readyz says {piece}")

    def gates(self, *names):
        """Each is a pipe with a name: who opens it, waits until we do."""
        paths = self.files(*names)
        for path in paths:
            os.mkfifo(path)
        return paths

    def open_gate(self, path):
        """Once somebody waits there."""
        eventually(lambda: os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK)) is None, f"the agent waits at {path.name}")

    def connects(self, path):
        with socket.socket(socket.AF_UNIX) as s:
            return s.connect(str(path)) is None

    def files(self, *names):
        directory = self.sub_dir()
        return [directory / name for name in names]


class Readiness(Start):
    def test_notify_gates_an_agent_that_listens_already(self):
        go, = self.gates("go")
        code = """
import threading
def later():
    wait_for(%r)
    notify('READY=1')
threading.Thread(target=later, daemon=True).start()
""" % str(go)
        side = self.sidecar(None, "--agent-ready", "notify", "--forward-hold-timeout", "2m", command=serving(code))
        eventually(lambda: stat.S_ISSOCK(os.stat(side.agent_socket).st_mode), "the agent listens")
        self.wait_reason(side, "READY=1 on $NOTIFY_SOCKET yet")
        held = self.thread(side.send, "early")
        self.assertIn("READY=1", json.loads(side.command("status", "--json")[1])["agent"]["reason"])
        self.open_gate(go)
        side.wait_ready()
        self.assertEqual(harness.answer_text(held.result().json), "you said: early", "it waited for the word")
        self.assertEqual(side.terminate(), 0)

    def test_notify_without_an_http_server(self):
        go, = self.gates("go")
        side = self.sidecar(None, "--agent-protocol", "none", "--agent-ready", "notify",
                            command=agent("wait_for(sys.argv[1]); notify('READY=1'); signal.pause()", str(go)))
        self.wait_reason(side, "READY=1")
        self.open_gate(go)
        side.wait_ready()

    def test_each_start_has_to_say_it_anew(self):
        first, = self.files("first")
        go, = self.gates("go")
        code = """
if not os.path.exists(sys.argv[1]):
    open(sys.argv[1], 'w').close()
    notify('READY=1')
    signal.pause()
wait_for(sys.argv[2])
notify('READY=1')
signal.pause()
"""
        side = self.sidecar(None, "--agent-protocol", "none", "--agent-ready", "notify", "--restart-backoff", "10ms",
                            command=agent(code, str(first), str(go)))
        side.wait_ready()
        os.kill(side.agent_pids()[0], signal.SIGKILL)
        self.wait_reason(side, "READY=1")
        self.open_gate(go)
        side.wait_ready()

    def test_after_a_restart_nothing_reaches_it_before_it_says_so(self):
        first, = self.files("first")
        go, = self.gates("go")
        code = """
import threading
def later():
    wait_for(%r)
    notify('READY=1')
if os.path.exists(%r):
    threading.Thread(target=later, daemon=True).start()
else:
    open(%r, 'w').close()
    notify('READY=1')
""" % (str(go), str(first), str(first))
        p = self.platform("--rate-limit", "0")
        side = self.sidecar(p, "--agent-ready", "notify", "--restart-backoff", "10ms", "--forward-hold-timeout", "60s",
                            "--platform-heartbeat-interval", "200ms", command=serving(code)).wait_ready()
        (pid,) = side.agent_pids()
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: side.agent_pids() not in ([], [pid]), "it is started again")
        eventually(lambda: self.connects(side.agent_socket), "it listens")
        held = self.thread(side.send, "early")
        eventually(lambda: side.metrics()["molecule_sidecar_requests_held"] == 1, "the request waits for the word")
        eventually(lambda: p.beat().get("active_tasks") == 1, "a beat of this time")
        self.assertNotEqual(p.beat().get("runtime_state"), "wedged", "it is only starting")
        self.assertTrue(held.is_alive())
        self.open_gate(go)
        self.assertEqual(harness.answer_text(held.result().json), "you said: early")

    def test_a_newline_on_a_descriptor(self):
        go, = self.gates("go")
        code = "os.write(7, b'not yet'); wait_for(sys.argv[1]); os.write(7, b'\\n'); os.close(7); signal.pause()"
        side = self.sidecar(None, "--agent-protocol", "none", "--agent-ready", "fd:7", command=agent(code, str(go)))
        self.wait_reason(side, "has not written a newline")
        self.open_gate(go)
        side.wait_ready()

    def test_a_descriptor_that_is_closed_without_one(self):
        side = self.sidecar(None, "--agent-protocol", "none", "--agent-ready", "fd:3", "--agent-on-start-timeout", "exit",
                            "--agent-start-timeout", "20s", command=agent("os.close(3); signal.pause()"))
        self.wait_reason(side, "closed the descriptor of agent.ready without a newline")

    def test_s6_style_with_an_http_agent(self):
        side = self.sidecar(None, "--agent-ready", "fd:3", command=serving("os.write(3, b'\\n'); os.close(3)"))
        side.wait_ready()
        self.assertEqual(harness.answer_text(side.send("x").json), "you said: x")

    def test_connect(self):
        port = harness.free_port()
        go, = self.gates("go")
        code = """
wait_for(sys.argv[1])
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('127.0.0.1', int(os.environ['PORT']))); s.listen()
while True: s.accept()[0].close()
"""
        side = self.sidecar(None, "--agent-protocol", "none", "--agent-ready", "connect", "--agent-address",
                            f"http://127.0.0.1:{port}", "--agent-health-interval", "200ms", command=agent(code, str(go)))
        self.wait_reason(side, "nobody listens there")
        self.open_gate(go)
        side.wait_ready()

    def test_the_start_deadline_counts_for_each_kind(self):
        for ready in ("notify", "fd:3", "connect", "http"):
            with self.subTest(ready):
                side = self.sidecar(None, "--agent-protocol", "none", "--agent-ready", ready, "--agent-start-timeout", "300ms",
                                    "--agent-on-start-timeout", "exit", command=["sleep", "1000"])
                self.assertEqual(side.wait_exit(), 70)
                self.assertRegex(side.text(), "within 300ms")

    def test_started_is_what_agents_without_a_server_have_by_default(self):
        side = self.sidecar(None, "--agent-protocol", "none", command=["sleep", "1000"])
        side.wait_ready()


class Environment(Start):
    def test_add_remove_and_file(self):
        file, = self.files("env")
        file.write_text("# a comment\n\nFROM_FILE = no\n")
        flags = ["--agent-protocol", "none", "--agent-env-remove", "SECRET_*,ALONE", "--agent-env-file", str(file),
                 "--agent-env", "ADDED=by=key"]
        env = {"SECRET_ONE": "1", "SECRET_TWO": "2", "ALONE": "3", "ALONE_NOT": "4"}
        side = self.sidecar(None, *flags, "--restart-max", "1", command=agent("tell(env=dict(os.environ)); signal.pause()"), env=env)
        side.wait_line(r"env:3: this line has a name that is not made of letters")
        file.write_text("FROM_FILE=a=b c\r\n")
        side = self.sidecar(None, *flags, command=agent("tell(env=dict(os.environ)); signal.pause()"), env=env)
        seen = self.facts(side)["env"]
        self.assertEqual((seen["FROM_FILE"], seen["ADDED"], seen["ALONE_NOT"]), ("a=b c", "by=key", "4"))
        self.assertFalse({"SECRET_ONE", "SECRET_TWO", "ALONE"} & set(seen))

    def test_a_star_leaves_what_is_added(self):
        side = self.sidecar(None, "--agent-protocol", "none", "--agent-env-remove", "*", "--agent-env", "ONLY=me",
                            command=agent("tell(names=sorted(os.environ)); signal.pause()"))
        names = set(self.facts(side)["names"]) - {"LC_CTYPE"}  # Python's own
        self.assertEqual(names, {"ONLY", "PORT", "MOLECULE_AGENT_SOCKET", "MOLECULE_SIDECAR_SOCKET"})

    def test_umask_and_limits(self):
        code = "tell(umask=os.umask(0), nofile=resource.getrlimit(resource.RLIMIT_NOFILE), " \
               "core=resource.getrlimit(resource.RLIMIT_CORE)); signal.pause()"
        side = self.sidecar(None, "--agent-protocol", "none", "--agent-umask", "0137", "--agent-limits", "nofile=77:99,core=0",
                            command=agent(code))
        self.assertEqual(self.facts(side), {"umask": 0o137, "nofile": [77, 99], "core": [0, 0]})

    def test_a_limit_that_cannot_be_set_ends_with_a_sentence(self):
        side = self.sidecar(None, "--agent-protocol", "none", "--agent-limits", "nofile=unlimited", command=["sleep", "1000"])
        self.assertEqual(side.wait_exit(), 2)
        self.assertRegex(side.text(), r"with the limit nofile \(agent.limits\): Operation not permitted")


# Plays the service manager: three sockets from descriptor 3 on, then the program.
HAND_OVER = """
import os, socket, sys
ports = []
kept = []
for i in range(3):
    s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(16)
    ports.append(str(s.getsockname()[1]))
    kept.append(os.dup2(s.fileno(), 60 + i))
    s.close()
for i in range(3):
    os.dup2(60 + i, 3 + i)
    os.set_inheritable(3 + i, True)
    os.close(60 + i)
open(sys.argv[1], 'w').write(' '.join(ports))
os.environ.update(LISTEN_FDS='3', LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES='agent-metrics:a2a:agent')
os.execv(sys.argv[2], sys.argv[2:])
"""


class Descriptors(Start):
    def test_sockets_named_for_the_agent_reach_it_at_each_start(self):
        ports, = self.files("ports")
        code = """
e = os.environ
tell(fds=e['LISTEN_FDS'], mine=e['LISTEN_PID'] == str(os.getpid()), names=e['LISTEN_FDNAMES'],
     ports=[socket.socket(fileno=os.dup(fd)).getsockname()[1] for fd in (3, 4)],
     inherited=[os.get_inheritable(fd) for fd in (3, 4)], open=sorted(int(x) for x in os.listdir('/proc/self/fd'))[:7])
"""
        side = self.sidecar(None, "--restart-backoff", "10ms", command=serving(code),
                            program=python(HAND_OVER, str(ports), harness.SIDECAR))
        side.wait_ready()
        metrics, a2a, own = (int(p) for p in ports.read_text().split())
        wanted = {"fds": "2", "mine": True, "names": "metrics:agent", "ports": [metrics, own], "inherited": [True, True]}
        seen = self.facts(side)
        self.assertEqual({k: seen[k] for k in wanted}, wanted)
        self.assertEqual(seen["open"][:5], [0, 1, 2, 3, 4])
        self.assertEqual(harness.answer_text(harness.post(a2a, "/", harness.a2a("hello")).json), "you said: hello", "a2a is ours")
        os.kill(side.agent_pids()[0], signal.SIGKILL)
        again = eventually(lambda: [x for x in side.out if x.startswith('{"')][1:], "it is started again")
        self.assertEqual({k: json.loads(again[0])[k] for k in wanted}, wanted)

    def test_a_readiness_descriptor_in_the_way_is_a_sentence(self):
        ports, = self.files("ports")
        side = self.sidecar(None, "--agent-ready", "fd:4", command=example_agent(),
                            program=python(HAND_OVER, str(ports), harness.SIDECAR))
        self.assertEqual(side.wait_exit(), 2)
        self.assertRegex(side.text(), r"agent.ready is fd:4 .*descriptors 3 to 4: use fd:5 or above")


class Relay(Start):
    """The agent's sd_notify, with a datagram socket of the test's as the service manager."""

    def setUp(self):
        super().setUp()
        self.manager = Manager(self.sub_dir() / "manager")
        self.addCleanup(self.manager.close)
        self.path = self.manager.path

    def lines(self):
        return self.manager.lines()

    def wait_heard(self, pattern):
        eventually(lambda: any(re.search(pattern, x) for x in self.lines()), f"the manager hears {pattern}")

    def test_status_goes_through_and_what_would_speak_for_us_does_not(self):
        more, go = self.gates("more", "go")
        code = """
notify('MAINPID=1\\nREADY=1\\nSTOPPING=1\\nWATCHDOG=1\\nFDSTORE=1\\nERRNO=5\\nSTATUS=loading \\x1b[1mhalf')
wait_for(sys.argv[1])
notify('WATCHDOG=trigger\\nRELOADING=1\\nX_MINE=1\\nSTATUS=loaded')
wait_for(sys.argv[2])
"""
        side = self.sidecar(None, command=serving(code, str(more), str(go)), env={"NOTIFY_SOCKET": self.path})
        self.wait_heard(r"^STATUS=starting.*it says: loading \\x1B\[1mhalf$")
        self.wait_heard("^ERRNO=5$")
        self.assertNotIn("READY=1", self.lines(), "the agent answers no request yet: http is the way here")
        self.open_gate(more)
        self.wait_heard("^STATUS=.*it says: loaded$")
        side.wait_line("WATCHDOG=trigger")
        self.open_gate(go)
        self.wait_heard("^READY=1$")
        side.terminate()
        ours = {"FDSTORE=1", "FDNAME=kept-a2a"}  # the A2A socket, stored by us
        keys = {x.partition("=")[0] for x in self.lines() if x not in ours}
        self.assertLessEqual(keys, {"READY", "STATUS", "ERRNO", "STOPPING", "EXTEND_TIMEOUT_USEC"})
        self.assertEqual(self.lines().count("FDSTORE=1"), 1, "the agent's own is not passed on")
        self.assertEqual(self.lines().count("READY=1"), 1)

    def test_more_time_is_asked_for_within_our_own_deadline(self):
        side = self.sidecar(None, "--agent-ready", "notify", "--agent-start-timeout", "50s", env={"NOTIFY_SOCKET": self.path},
                            command=serving("notify('EXTEND_TIMEOUT_USEC=1000000'); notify('EXTEND_TIMEOUT_USEC=900000000000'); "
                                            "notify('READY=1')"))
        side.wait_ready()
        asked = [int(x.partition("=")[2]) for x in self.lines() if x.startswith("EXTEND_TIMEOUT_USEC=")]
        for usec in asked:  # none, when it was said before the program was known to run
            self.assertLessEqual(usec, 50_000_000)
        eventually(lambda: "READY=1" in self.lines(), "ready")

    def test_the_socket_is_ours_and_goes_with_us(self):
        side = self.sidecar(None, "--agent-protocol", "none", env={"NOTIFY_SOCKET": self.path},
                            command=agent("tell(socket=os.environ['NOTIFY_SOCKET']); signal.pause()"))
        path = pathlib.Path(self.facts(side)["socket"])
        self.assertEqual(path.name, "notify.sock")
        self.assertNotEqual(str(path), self.path)
        side.terminate()
        self.assertFalse(path.exists())


@unittest.skipIf(os.geteuid() != 0, "needs root")
class OtherUser(Start):
    """agent.user: the sidecar is root, the agent is not."""

    def prepare(self):
        """A directory for the sidecar that others may pass through, as /run/molecule is."""
        directory = self.sub_dir()
        (directory / "run").mkdir()
        for path in (self.dir, directory, directory / "run"):
            path.chmod(0o755)
        return directory

    # Calls the agent's API, tries the operator's socket, and tells who it is.
    LOOK = """
def ask(path):
    with socket.socket(socket.AF_UNIX) as s:
        try:
            s.connect(path)
        except OSError as problem:
            return type(problem).__name__
        s.sendall(b'GET /v1/self HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n')
        got = b''
        while more := s.recv(4096): got += more
        return got.split(b'\\r\\n')[0].decode()
e = os.environ
tell(ids=os.getresuid() + os.getresgid(), groups=os.getgroups(), home=e.get('HOME'), user=e.get('USER'), logname=e.get('LOGNAME'),
     api=ask(e['MOLECULE_SIDECAR_SOCKET']), control=ask(os.path.join(e['RUNTIME_DIRECTORY'], 'control.sock')), socket=e['PORT'])
"""

    def test_our_capabilities_do_not_reach_it(self):
        """The kernel takes them from root; from an ordinary user that has some, we must."""
        caps = "+setuid,+setgid,+kill,+chown"
        become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", f"--inh-caps={caps}", f"--ambient-caps={caps}"]
        if not shutil.which("setpriv") or subprocess.run([*become, "true"], capture_output=True, check=False).returncode != 0:
            self.skipTest("setpriv with ambient capabilities does not work here")
        directory = self.prepare()
        for path in (directory, directory / "run"):
            os.chown(path, 65534, 65534)
        program = directory / "molecule-sidecar"
        shutil.copy(harness.SIDECAR, program)
        side = self.sidecar(None, "--agent-protocol", "none", "--agent-user", "12345:12345", directory=directory, program=[*become, str(program)],
                            command=["grep", "-H", "CapEff", "/proc/self/status"])
        side.wait_line("CapEff:\\s*0000000000000000")

    def test_it_serves_and_calls_us_as_that_user(self):
        side = self.sidecar(None, "--agent-user", "nobody", command=serving(self.LOOK), directory=self.prepare())
        side.wait_ready()
        seen = self.facts(side)
        self.assertEqual(seen["ids"][:3], [NOBODY] * 3)
        self.assertEqual((seen["user"], seen["logname"], seen["home"]), ("nobody", "nobody", "/nonexistent"))
        self.assertEqual(seen["api"], "HTTP/1.1 200 OK")
        self.assertEqual(seen["control"], "PermissionError")
        self.assertEqual(os.stat(seen["socket"]).st_uid, NOBODY)
        self.assertEqual(harness.answer_text(side.send("hello").json), "you said: hello")
        self.assertNotIn("may not enter", side.text())
        self.assertEqual(side.terminate(), 0, "we may signal it")

    def test_numbers_will_do_and_notify_works_across_users(self):
        side = self.sidecar(None, "--agent-user", "4711:4712", "--agent-ready", "notify",
                            command=serving(self.LOOK + "\nnotify('READY=1')"), directory=self.prepare())
        side.wait_ready()
        seen = self.facts(side)
        self.assertEqual((seen["ids"], seen["groups"]), ([4711] * 3 + [4712] * 3, [4712]))
        self.assertEqual((seen["user"], seen["home"], seen["api"]), (None, "/", "HTTP/1.1 200 OK"))
        self.assertEqual(harness.answer_text(side.send("x").json), "you said: x")

    def test_it_is_started_again_on_the_socket_it_left(self):
        side = self.sidecar(None, "--agent-user", "4711:4712", "--restart-backoff", "10ms", "--forward-hold-timeout", "2m", command=serving(self.LOOK),
                            directory=self.prepare())
        side.wait_ready()
        os.kill(side.agent_pids()[0], signal.SIGKILL)
        eventually(lambda: len([x for x in side.out if x.startswith('{"')]) > 1, "it is started again")
        side.wait_ready()
        self.assertEqual(harness.answer_text(side.send("x").json), "you said: x")

    def test_a_link_to_anothers_socket_gets_no_request(self):
        directory = self.prepare()
        other = directory / "run" / "other.sock"
        self.process("root's", example_agent("agent.py", str(other)))
        eventually(other.exists, "it listens")
        side = self.sidecar(None, "--agent-user", "4711:4712", directory=directory,
                            command=agent("os.symlink(sys.argv[1], os.environ['PORT']); signal.pause()", str(other)))
        side.wait_ready()
        answer = side.send("secret")
        self.assertEqual(answer.status, 503)
        self.assertIn("who listens there is not the user of agent.user", answer.text)

    def test_our_own_directory_is_not_given_away(self):
        directory = self.prepare()
        side = self.sidecar(None, "--agent-user", "4711:4712", "--agent-address", f"unix:{directory}/run/agent.sock",
                            directory=directory, command=["sleep", "1000"])
        self.assertEqual(side.wait_exit(), 2)
        self.assertRegex(side.text(), r"our own sockets are in that directory.*give it a directory of its own, such as unix:\S+/agent/agent.sock")

    def test_a_directory_it_cannot_pass_is_said(self):
        side = self.sidecar(None, "--agent-user", "4711:4712", command=["sleep", "1000"])
        side.wait_line(r"agent.user 4711:4712 may not enter /\S+, so the agent cannot reach")

    def test_secrets_as_files_are_readable_for_it(self):
        directory = self.prepare()
        p = self.platform()
        self.assertEqual(p.call("POST", f"/workspaces/{p.id}/secrets", {"key": "API_KEY", "value": "sesame"}, token=p.token).status, 200)
        side = self.sidecar(p, "--agent-user", "4711:4712", "--secrets-mode", "file", directory=directory,
                            command=serving("tell(secret=open(os.environ['RUNTIME_DIRECTORY'] + '/secrets/API_KEY').read())"))
        self.assertEqual(self.facts(side), {"secret": "sesame"})
        side.wait_ready()
        info = (directory / "run" / "secrets").stat()
        self.assertEqual((stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid), (0o2750, 0, 4712))

    def test_without_the_right_it_is_a_sentence(self):
        where = self.sub_dir()
        (where / "run").mkdir()
        (where / "state").mkdir()
        become, program = harness.ordinary_user(where)
        side = self.sidecar(None, "--agent-user", "root", command=["sleep", "1000"], directory=where, preexec=become, program=program)
        self.assertEqual(side.wait_exit(), 2)
        self.assertRegex(side.text(), r"agent.user is root \(flag --agent-user\): we are uid 65534 and lack CAP_SETUID")

    def test_a_user_that_is_not_there(self):
        code, _, err = self.sidecar(None, command=["sleep", "1000"]).command(
            "check-config", "--platform-enabled", "false", "--agent-user", "no-such-user", "--", "true")
        self.assertEqual(code, 2)
        self.assertIn('there is no user "no-such-user" on this system', err)


if __name__ == "__main__":
    unittest.main()
