"""An agent on a terminal: foreground, Ctrl-C, Ctrl-Z, the window's size; as `docker run -it` starts us, and in a job-control shell."""
# ctest: long
# ctest: timeout=240
import contextlib
import fcntl
import os
import pathlib
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import unittest

import harness
from harness import eventually
from test_signals import namespace

PATIENCE = 60
BASH = ["/bin/bash", "--norc", "--noprofile", "-i"]


class Terminal:
    """A pseudo-terminal, and the leader of its session; leads=False: whoever of its children takes it will be that."""

    def __init__(self, argv, env, cwd, leads=True):
        self.master, slave = os.openpty()
        self.resize(80, 24)
        self.text, self.mark = "", 0
        self.news = threading.Condition()
        self.over, self.over_too = os.pipe()

        def session():
            os.setsid()
            if leads:
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.p = subprocess.Popen([str(a) for a in argv], stdin=slave, stdout=slave, stderr=slave, env=env, cwd=cwd, preexec_fn=session)
        os.close(slave)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        rest = b""  # the first half of a line's end, when that is how they come
        while self.over not in select.select([self.master, self.over], [], [])[0]:
            try:
                data = rest + os.read(self.master, 65536)
            except OSError:
                return
            rest = data[len(data.rstrip(b"\r")):]
            data = data[:len(data) - len(rest)]
            with self.news:
                self.text += data.decode(errors="replace").replace("\r\n", "\n")
                self.news.notify_all()

    def resize(self, columns, rows):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys):
        """What follows is waited for in what is printed from here on."""
        with self.news:
            self.mark = len(self.text)
        os.write(self.master, keys.encode())

    def wait(self, pattern, timeout=PATIENCE):
        found = re.compile(pattern, re.M)
        with self.news:
            if not self.news.wait_for(lambda: found.search(self.text, self.mark), timeout):
                raise AssertionError(f"the terminal never showed /{pattern}/:\n{self.text}")
            return found.search(self.text, self.mark)

    def foreground(self):
        return os.tcgetpgrp(self.master)

    def hang_up(self):
        """Nobody may be reading: the kernel would wait for that to end."""
        if self.master >= 0:
            os.close(self.over_too)
            self.reader.join()
            os.close(self.over)
            os.close(self.master)
            self.master = -1


class Interactive(harness.Case):
    def terminal(self, argv, **kw):
        run = self.sub_dir()
        env = harness.clean_environment(run, {"RUNTIME_DIRECTORY": run, "CONFIGS_DIR": run, "TERM": "dumb", "PS1": "prompt> ", "INPUTRC": "/dev/null"})
        t = Terminal(argv, env, run, **kw)
        self.terminals = getattr(self, "terminals", [])
        self.terminals.append(t)
        self.addCleanup(self.end, t)
        return t

    def end(self, t):
        if self._has_failed():
            print(t.text)
        family = harness.descendants(t.p.pid)
        t.p.kill()
        t.p.wait()
        for pid, started in family:
            if harness.start_time(pid) == started:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        t.hang_up()

    def command(self, *words, flags=(), agent="interactive.py"):
        return [harness.SIDECAR, "run", "--platform-enabled", "false", "--agent-protocol", "none", "--admin-address", f"127.0.0.1:{harness.free_port()}",
                *flags, "--", *harness.test_agent(agent, *words)]

    def agent(self, t):
        """The agent's pid, from its first line."""
        return int(t.wait(r"agent (\d+) foreground").group(1))

    def use(self, t):
        """What is typed, the size and Ctrl-C reach the agent."""
        t.type("hello\n")
        t.wait("^answer hello foreground True$")
        t.resize(100, 30)
        t.wait("signal SIGWINCH 100x30$")
        t.type("\x03")
        t.wait("signal SIGINT")


class AsInDocker(Interactive):
    """We are the session's leader, as `docker run -it` makes us."""

    def test_it_has_the_foreground_the_size_and_the_keyboard(self):
        t = self.terminal(self.command())
        agent = int(t.wait(r"agent (\d+) foreground True size 80x24$").group(1))
        self.assertEqual(t.foreground(), agent, "from its first instruction")
        self.use(t)
        t.type("\x1c")
        t.wait("signal SIGQUIT")
        t.type("still there\n")
        t.wait("^answer still there")
        for name in ("SIGWINCH", "SIGINT", "SIGQUIT"):
            self.assertEqual(len(re.findall(f"signal {name}", t.text, re.M)), 1, f"{name} once")

    def test_ctrl_c_ends_it_and_it_is_not_started_again(self):
        for keys, status in (("\x03", 130), ("\x1c", 131), ("130\n", 130)):
            with self.subTest(status):
                t = self.terminal(self.command("plain", flags=("--restart-policy", "always")))
                self.agent(t)
                t.type(keys)
                self.assertEqual(t.p.wait(PATIENCE), status)
                self.assertEqual(len(re.findall(r"agent \d+ foreground", t.text)), 1)

    def test_a_crash_gives_the_terminal_back_and_the_next_one_gets_it(self):
        t = self.terminal(self.command(flags=("--restart-backoff", "8s")))  # 4 s at least, in which to look
        first = self.agent(t)
        t.type("crash\n")
        eventually(lambda: t.foreground() == t.p.pid, "the terminal is ours meanwhile", PATIENCE, every=0.002)
        second = int(t.wait(r"agent (\d+) foreground True").group(1))
        self.assertNotEqual(first, second)
        self.assertEqual(t.foreground(), second)
        t.type("again\n")
        t.wait("^answer again foreground True")

    def test_ctrl_z_that_nobody_could_end_is_ended_at_once(self):
        t = self.terminal(self.command())
        agent = self.agent(t)
        t.type("\x1a")
        t.wait("signal SIGCONT")
        t.type("alive\n")
        t.wait("^answer alive foreground True")
        self.assertEqual(t.foreground(), agent)

    def test_term_stops_and_the_hang_up_too(self):
        t = self.terminal(self.command("plain"))
        agent = self.agent(t)
        t.p.terminate()
        self.assertEqual(t.p.wait(PATIENCE), 0)
        self.assertFalse(harness.is_alive(agent))
        t = self.terminal(self.command("plain", flags=("--agent-group", "session")))
        agent = self.agent(t)
        t.hang_up()
        t.p.wait(PATIENCE)
        eventually(lambda: not harness.is_alive(agent), "the agent is gone", PATIENCE)

    def test_a_session_of_its_own_leaves_the_keyboard_to_us(self):
        t = self.terminal(self.command("plain", flags=("--agent-group", "session")))
        t.wait("agent .* foreground none")
        self.assertEqual(t.foreground(), t.p.pid)
        t.type("x\n")
        t.wait("^answer x")
        t.type("\x03")
        self.assertEqual(t.p.wait(PATIENCE), 0, "our orderly stop: it died of the signal we sent")
        t.wait("SIGINT: stopping")

    def test_sharing_our_group_it_has_what_we_have(self):
        t = self.terminal(self.command(flags=("--agent-group", "process", "--stop-grace", "60s", "--stop-signal", "CONT")))
        agent = int(t.wait(r"agent (\d+) foreground True").group(1))
        t.resize(90, 20)
        t.wait("signal SIGWINCH 90x20")
        t.type("\x1c")
        t.wait("signal SIGQUIT")
        t.type("x\n")
        t.wait("^answer x")
        t.type("\x03")
        t.wait("SIGINT: stopping")
        t.wait("signal SIGCONT")
        os.kill(agent, signal.SIGKILL)
        t.p.wait(PATIENCE)
        self.assertEqual(len(re.findall("signal SIGINT", t.text, re.M)), 1)

    def test_what_the_kernel_sent_to_both_is_not_sent_again(self):
        t = self.terminal(self.command(flags=("--agent-group", "process"), agent="recorder.py"))
        t.wait("up ")
        count = lambda number: len(re.findall(rf"got {number} ", t.text))
        for i in range(1, 31):
            t.resize(80 + i, 24)
            eventually(lambda: count(28) >= i, "WINCH is written down", PATIENCE, every=0.002)
            t.type("\x1c")
            eventually(lambda: count(3) >= i, "QUIT is written down", PATIENCE, every=0.002)
        os.kill(t.p.pid, signal.SIGUSR1)
        t.wait("got 10 ")
        self.assertEqual((count(28), count(3)), (30, 30))


class AsFirstProcess(Interactive):
    """PID 1 of a namespace and the leader of its session: all of what `docker run -it` makes us."""

    @classmethod
    def setUpClass(cls):
        cls.front = namespace()
        if not cls.front:
            raise unittest.SkipTest("no PID namespaces here")

    def test_the_agent_has_the_terminal(self):
        t = self.terminal([*self.front, "setsid", "-c", *self.command()], leads=False)
        t.wait(r"agent \d+ foreground True size 80x24$")
        (side,) = harness.children(t.p.pid)
        (agent,) = harness.children(side)  # their numbers as seen from here
        self.assertIn("\t1\n", re.search(r"NSpid:.*\n", pathlib.Path(f"/proc/{side}/status").read_text())[0], "it is PID 1")
        self.assertEqual(t.foreground(), agent)
        self.use(t)
        t.type("\x1a")
        t.wait("signal SIGCONT")  # nobody could continue it: we do, at once
        t.type("alive\n")
        t.wait("^answer alive foreground True")
        self.assertEqual(t.foreground(), agent)
        for name in ("SIGWINCH", "SIGINT"):
            self.assertEqual(len(re.findall(f"signal {name}", t.text, re.M)), 1, f"{name} once")
        os.kill(side, signal.SIGTERM)
        self.assertEqual(t.p.wait(PATIENCE), 0, "it died of the signal we sent")

    def test_ctrl_c_ends_it_and_all(self):
        t = self.terminal([*self.front, "setsid", "-c", *self.command("plain", flags=("--restart-policy", "always"))], leads=False)
        self.agent(t)
        t.type("\x03")
        self.assertEqual(t.p.wait(PATIENCE), 130)


class InAShell(Interactive):
    """A real bash with job control above us."""

    def shell(self):
        t = self.terminal(BASH)
        t.wait("prompt> ")
        return t

    def start(self, t, *words, flags=(), tail=""):
        script = self.dir / "start"
        script.write_text("exec " + " ".join("'" + str(a) + "'" for a in self.command(*words, flags=flags)) + "\n")
        t.type(f"sh {script}{tail}\n")
        return self.agent(t)

    def state(self, pid):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]

    def test_ctrl_z_fg_and_bg(self):
        t = self.shell()
        agent = self.start(t)
        (side,) = harness.children(t.p.pid)
        for _ in range(3):
            t.type("\x1a")
            t.wait(r"Stopped[^\n]*\n(.*\n)*prompt> ")
            self.assertEqual((self.state(agent), self.state(side)), ("T", "T"))
            self.assertEqual(t.foreground(), t.p.pid, "the shell has its terminal")
            t.type("fg\n")
            t.wait("signal SIGCONT")
            t.type("back\n")
            t.wait("^answer back foreground True")
            self.assertEqual(t.foreground(), agent)
        t.type("\x1a")
        t.wait(r"Stopped[^\n]*\n(.*\n)*prompt> ")
        t.type("bg\n")
        # it reads, which the kernel does not let it do from there: both are stopped again
        t.wait("signal SIGCONT")
        eventually(lambda: (self.state(agent), self.state(side)) == ("T", "T"), "stopped by TTIN", PATIENCE)
        t.type("fg\n")
        t.wait("signal SIGCONT")
        t.type("there\n")
        t.wait("^answer there foreground True")
        t.type("crash\n")
        t.wait("agent .* foreground True")

    def test_ctrl_c_and_the_shell_goes_on(self):
        t = self.shell()
        self.start(t, "plain")
        t.type("\x03")
        t.wait("prompt> ")
        t.type("echo status=$?\n")
        t.wait("^status=130$")
        self.assertEqual(t.foreground(), t.p.pid)

    def test_in_the_background_it_leaves_the_terminal_alone(self):
        t = self.shell()
        t.type("set -b\n")
        agent = self.start(t, tail=" &")
        t.wait("Stopped")
        t.type("jobs -l\n")
        t.wait(r"Stopped \(tty input\)")
        self.assertEqual(t.foreground(), t.p.pid)
        self.assertEqual(self.state(agent), "T")
        t.type("fg\n")
        t.wait("signal SIGCONT")
        t.type("now\n")
        t.wait("^answer now foreground True")

    def test_kill_tstp_and_cont(self):
        t = self.shell()
        t.type("set -b\n")
        agent = self.start(t, "quiet", "plain", tail=" &")
        (side,) = harness.children(t.p.pid)
        os.kill(side, signal.SIGTSTP)
        t.wait(r"Stopped")
        eventually(lambda: (self.state(agent), self.state(side)) == ("T", "T"), "first the agent, then we", PATIENCE)
        os.kill(side, signal.SIGCONT)
        eventually(lambda: "T" not in (self.state(agent), self.state(side)), "both go on", PATIENCE)
        os.kill(agent, signal.SIGSTOP)
        eventually(lambda: self.state(agent) == "T", "held by somebody", PATIENCE)
        os.kill(side, signal.SIGUSR1)
        os.kill(agent, signal.SIGCONT)
        eventually(lambda: not harness.is_alive(agent), "USR1 has ended it", PATIENCE)

    def test_a_pipeline_is_one_job(self):
        t = self.shell()
        agent = self.start(t, flags=("--agent-group", "process"), tail=" | cat")
        t.type("\x1a")
        t.wait(r"Stopped[^\n]*\n(.*\n)*prompt> ")
        eventually(lambda: self.state(agent) == "T", "stopped", PATIENCE)
        t.type("fg\n")
        t.wait("signal SIGCONT")
        t.type("x\n")
        t.wait("^answer x foreground True")


if __name__ == "__main__":
    unittest.main()
