"""Every signal, one by one and in storms: what docs/supervision.md says is what happens, as PID 1 and elsewhere."""
# ctest: long
# ctest: timeout=240
import collections
import contextlib
import ctypes
import os
import pathlib
import random
import re
import resource
import signal
import subprocess
import unittest

import harness
from harness import eventually

KERNEL_STOPS = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
RT = range(34, 65)
PATIENCE = 60  # a loaded machine may be slow, a lost signal never comes
libc = ctypes.CDLL(None, use_errno=True)


def table():
    """{number: (what we do, what the agent gets, may be mapped)} of the page."""
    rows = {}
    for line in (harness.SOURCE / "docs/supervision.md").read_text().splitlines():
        cells = [c.strip() for c in line.split("|")[1:-1]]
        if len(cells) == 6 and re.match(r"\d", cells[0]):
            numbers = [int(n) for n in re.findall(r"\d+", cells[0])]
            for number in range(numbers[0], numbers[-1] + 1):
                rows[number] = (cells[2], cells[3], cells[4])
    return rows


ROWS = table()
PASSED = [n for n, row in ROWS.items() if "pass on" in row[0]]
# 32 and 33 are the C library's own: its posix_spawn(), which make uses, leaves them ignored in what it starts.
FATAL = [n for n, row in ROWS.items() if row[0] == "left alone" and n not in (signal.SIGPIPE, signal.SIGSTOP, 32, 33)]

if harness.IS_SLOW:  # the address sanitizer has handlers for these three, and reports them
    FATAL = [n for n in FATAL if n not in (signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV)]


def sigqueue(pid, number, value):
    if libc.sigqueue(pid, number, ctypes.c_void_p(value)) != 0:
        raise OSError(ctypes.get_errno(), f"sigqueue {number}")


def state(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def namespace():
    """The front of a command line that makes its program PID 1; [] where that is not allowed."""
    base = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    for argv in ([*base, "--user", "--map-root-user"], base):
        if subprocess.run([*argv, "true"], capture_output=True, timeout=60, check=False).returncode == 0:
            return argv
    return []


class Recorded(harness.Case):
    """A sidecar with an agent that writes down what it gets."""

    is_first = False
    front = []

    def recorder(self, *flags, status=0):
        """The process to signal and the agent's pid, both as seen from here. A session of its own: no shell above that could continue us."""
        side = self.sidecar(None, "--agent-protocol", "none", "--restart-policy", "never", *flags, preexec=os.setsid,
                            command=harness.test_agent("recorder.py", str(status)), program=[*self.front, harness.SIDECAR])
        side.wait_line("^up ", PATIENCE)
        pid = side.pid
        if self.is_first:
            (pid,) = harness.children(side.pid)
            self.addCleanup(self.kill, pid, harness.start_time(pid))
        (agent,) = harness.children(pid)
        return side, pid, agent

    @staticmethod
    def kill(pid, started):
        """The namespace ends with its first process; unshare would take its time."""
        if harness.start_time(pid) == started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def recorded(self, side):
        return [tuple(int(n) for n in line.split()[1:]) for line in side.out[1:]]

    def wait_recorded(self, side, count):
        eventually(lambda: len(self.recorded(side)) >= count, f"{count} signals at the agent", PATIENCE, every=0.002)
        return self.recorded(side)

    def counts(self, side):
        return collections.Counter(number for number, _, _ in self.recorded(side))


class EachSignal(Recorded):
    def test_the_page_has_every_number(self):
        self.assertEqual(sorted(ROWS), list(range(1, 65)))
        for number in (10, 12, 18, 20, 28, 34, 64):
            self.assertIn(number, PASSED)

    def passes_on(self, *flags, stopping_ones=True):
        side, pid, agent = self.recorder(*flags)
        for count, number in enumerate(PASSED, 1):
            if number in KERNEL_STOPS and not stopping_ones:
                number = signal.SIGCONT
            with self.subTest(number):
                os.kill(pid, number)
                self.assertEqual(self.wait_recorded(side, count)[-1][0], number)
        sent = collections.Counter(n if stopping_ones or n not in KERNEL_STOPS else signal.SIGCONT for n in PASSED)
        self.assertEqual(self.counts(side), sent, "each exactly once")
        return side, pid, agent

    def test_passed_on_to_the_group(self):
        side, pid, _ = self.passes_on()
        os.kill(pid, signal.SIGTERM)
        self.assertEqual(side.wait_exit(PATIENCE), 0)
        self.assertEqual(self.counts(side)[signal.SIGTERM], 1)

    def test_passed_on_to_the_process(self):
        side, pid, agent = self.passes_on("--agent-group", "process")
        self.assertEqual(os.getpgid(agent), os.getpgid(pid))
        os.kill(pid, signal.SIGTERM)
        self.assertEqual(side.wait_exit(PATIENCE), 0)
        self.assertEqual(self.counts(side)[signal.SIGTERM], 1)

    def test_passed_on_to_the_session(self):
        side, pid, agent = self.passes_on("--agent-group", "session", stopping_ones=False)
        self.assertEqual(os.getsid(agent), agent)
        before = len(self.recorded(side))
        for number in KERNEL_STOPS:
            with self.subTest(number):
                os.kill(pid, number)
                eventually(lambda: state(agent) == "T", "it is stopped", PATIENCE)
                self.assertNotEqual(state(pid), "T", "nobody could continue us")
                os.kill(pid, signal.SIGCONT)
                before += 1
                self.assertEqual(self.wait_recorded(side, before)[-1][0], signal.SIGCONT)
        os.kill(pid, signal.SIGTERM)
        self.assertEqual(side.wait_exit(PATIENCE), 0)

    def test_acted_on_or_left_alone(self):
        """CHLD and PIPE do nothing visible, HUP is said in the log, STOP freezes; the agent gets none of them."""
        side, pid, _ = self.recorder()
        for number in (signal.SIGCHLD, signal.SIGPIPE):
            os.kill(pid, number)
        os.kill(pid, signal.SIGHUP)
        side.wait_line("SIGHUP", PATIENCE)
        os.kill(pid, signal.SIGSTOP)
        eventually(lambda: state(pid) == "T", "frozen", PATIENCE)
        os.kill(pid, signal.SIGUSR1)
        os.kill(pid, signal.SIGCONT)
        self.wait_recorded(side, 2)
        self.assertEqual(self.counts(side), {signal.SIGUSR1: 1, signal.SIGCONT: 1})

    def test_term_and_int_stop(self):
        for number, name in ((signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "SIGINT")):
            with self.subTest(name):
                side, pid, _ = self.recorder(status=7)
                os.kill(pid, number)
                self.assertEqual(side.wait_exit(PATIENCE), 7)
                self.assertEqual(self.counts(side)[signal.SIGTERM], 1)
                self.assertEqual(self.counts(side)[signal.SIGINT], 0)
                self.assertRegex(side.text(), name)

    def test_stop_signal_replaces_term(self):
        side, pid, agent = self.recorder("--stop-signal", "RTMIN+3", "--stop-grace", "30s")
        os.kill(pid, signal.SIGTERM)
        self.assertEqual({n for n, _, _ in self.wait_recorded(side, 2)}, {37, signal.SIGCONT}, "CONT goes with it")
        os.kill(agent, signal.SIGKILL)
        side.wait_exit(PATIENCE)
        self.assertEqual(self.counts(side)[signal.SIGTERM], 0)

    def test_faults_and_kill(self):
        """Elsewhere they end us, and the agent with us; a PID 1 is not touched by them, but for KILL from outside."""
        sides = {} if not self.is_first else collections.defaultdict(self.recorder)
        for number in FATAL:
            with self.subTest(number):
                is_dropped = self.is_first and number != signal.SIGKILL
                side, pid, agent = sides["first"] if is_dropped else self.recorder()
                started = harness.start_time(agent)
                os.kill(pid, number)
                if is_dropped:
                    before = len(self.recorded(side))
                    os.kill(pid, signal.SIGUSR1)
                    self.assertEqual(self.wait_recorded(side, before + 1)[-1][0], signal.SIGUSR1)
                    continue
                code = side.wait_exit(PATIENCE)
                self.assertIn(code, (-number, 128 + number) if not self.is_first else (1, -number, 128 + number), "unshare says it its way")
                eventually(lambda: harness.start_time(agent) != started or not harness.is_alive(agent), "the agent is gone", PATIENCE)
        for side, _, _ in sides.values():
            self.assertEqual(set(self.counts(side)), {signal.SIGUSR1})

    def test_a_queued_value_is_kept(self):
        side, pid, _ = self.recorder("--signals-map", "RTMIN+1=RTMIN+2")
        for number in (40, signal.SIGUSR2):
            sigqueue(pid, number, 4711)
        sigqueue(pid, 35, 12)
        self.assertEqual(sorted(self.wait_recorded(side, 3)), [(12, -1, 4711), (36, -1, 12), (40, -1, 4711)])

    def test_signals_map(self):
        side, pid, _ = self.recorder("--signals-map", "HUP=USR2", "--signals-map", "QUIT=none", "--signals-map", "10:28",
                                     "--signals-map", "28:0", "--signals-map", "SIGRTMIN+6=HUP")
        for count, (number, becomes) in enumerate(((signal.SIGHUP, signal.SIGUSR2), (signal.SIGUSR1, signal.SIGWINCH), (40, signal.SIGHUP)), 1):
            for dropped in (signal.SIGQUIT, signal.SIGWINCH):
                os.kill(pid, dropped)
            os.kill(pid, number)
            self.assertEqual(self.wait_recorded(side, count)[-1][0], becomes)
        side.wait_line("SIGHUP", PATIENCE)
        self.assertEqual(self.counts(side), {signal.SIGUSR2: 1, signal.SIGWINCH: 1, signal.SIGHUP: 1})
        self.assertTrue(side.is_running())


class EachSignalAsFirst(EachSignal):
    """The same as PID 1, in a PID namespace of our own."""

    is_first = True

    @classmethod
    def setUpClass(cls):
        cls.front = namespace()
        if not cls.front:
            raise unittest.SkipTest("no PID namespaces here, neither as a user nor as root")

    def test_the_page_has_every_number(self):
        side, pid, _ = self.recorder()
        self.assertEqual(pathlib.Path(f"/proc/{pid}/status").read_text().split("NSpid:")[1].split()[1], "1", "really PID 1")


class Storms(Recorded):
    """Random bursts; within one burst a standard signal comes once, since two would be one by the kernel's rule."""

    BURST = 40

    def burst(self, random_, pid, number_of):
        """Sends one; what the agent must get: [(number, value)], values in the order of each number."""
        expected = []
        standard = [n for n in PASSED if n < 32 and n not in KERNEL_STOPS]
        if random_.random() < 0.5:  # a stop and a CONT remove each other from the queue, as POSIX says
            standard = [n for n in standard if n != signal.SIGCONT] + list(KERNEL_STOPS)
        extra = [signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE]
        plan = random_.sample(standard, random_.randrange(len(standard) + 1)) + random_.sample(extra, random_.randrange(len(extra) + 1))
        plan += [random_.choice(self.counted) for _ in range(self.BURST - len(plan))]
        random_.shuffle(plan)
        for number in plan:
            value = random_.randrange(1, 1 << 30) if random_.random() < 0.5 else 0
            if value:
                sigqueue(pid, number, value)
            else:
                os.kill(pid, number)
            if number_of(number):
                expected.append((number_of(number), value))
        return expected, len(plan)

    def storm(self, count, *flags, becomes=None):
        becomes = becomes or {}
        self.counted = [n for n in RT if n not in becomes.values()]  # else the order of two streams would not be known
        number_of = lambda n: becomes.get(n, n if n in PASSED else 0)
        seed = random.randrange(1 << 32)
        random_ = random.Random(seed)
        side, pid, _ = self.recorder("--log-level", "error", *flags)
        sent = seen = 0
        while sent < count:
            expected, n = self.burst(random_, pid, number_of)
            sent += n
            got = [(number, value) for number, _, value in self.wait_recorded(side, seen + len(expected))[seen:]]
            seen += len(got)
            by_number = lambda pairs: {k: [v for m, v in pairs if m == k] for k, _ in pairs}
            self.assertEqual(by_number(got), by_number(expected), f"seed {seed}")
        os.kill(pid, signal.SIGTERM)
        self.assertEqual(side.wait_exit(PATIENCE), 0)
        rest = self.recorded(side)[seen:]
        self.assertEqual([n for n, _, _ in rest], [signal.SIGTERM], f"nothing came late or twice, seed {seed}")

    def test_group(self):
        self.storm(4000)

    def test_process(self):
        self.storm(3000, "--agent-group", "process")

    def test_mapped(self):
        self.storm(1500, "--signals-map", "HUP=RTMIN+30", "--signals-map", "USR1=none", "--signals-map", "RTMIN=RTMIN+9",
                   becomes={signal.SIGHUP: 64, signal.SIGUSR1: 0, 34: 43})


class StormAsFirst(Storms):
    is_first = True

    @classmethod
    def setUpClass(cls):
        EachSignalAsFirst.setUpClass.__func__(cls)

    def test_group(self):
        self.storm(1500)

    test_process = test_mapped = None


class WithoutAgent(Recorded):
    def test_between_two_starts_it_is_said_and_not_kept(self):
        side = self.sidecar(None, "--agent-protocol", "none", "--restart-backoff", "30s", command=harness.test_agent("recorder.py"))
        side.wait_line("^up ", PATIENCE)
        (agent,) = harness.children(side.pid)
        os.kill(agent, signal.SIGKILL)
        side.wait_line("starting it again", PATIENCE)
        side.signal(signal.SIGUSR1)
        side.wait_line("SIGUSR1: the agent does not run now", PATIENCE)
        side.signal(signal.SIGTERM)
        side.wait_exit(PATIENCE)

    def test_without_a_command_they_do_nothing(self):
        side = self.sidecar(None, "--agent-protocol", "none", "--log-level", "debug", preexec=os.setsid)
        side.wait_probe("startupz")
        for number in PASSED:
            side.signal(number)
        side.wait_line("SIGRTMIN.30: no agent of ours", PATIENCE)
        self.assertEqual(side.terminate(), 0)

    def test_a_map_of_term_is_refused(self):
        side = self.sidecar(None, "--signals-map", "15:3", command=["sleep", "1000"])
        self.assertEqual(side.wait_exit(PATIENCE), 2)
        self.assertRegex(side.text(), r"signals\.map holds 15:3 .*SIGTERM begins our stop.*set stop\.signal to QUIT")

    def test_what_the_kernel_says_about_our_own_limits_is_not_the_agents(self):
        """A log line that would make the file larger than allowed: XFSZ comes to us, not to the agent, and does not make more lines."""
        log = self.dir / "log"
        side = self.sidecar(None, "--agent-protocol", "none", command=harness.test_agent("recorder.py"),
                            preexec=lambda: os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2))
        side.wait_line("^up ", PATIENCE)
        side.wait_probe("readyz")

        def is_limited():
            """What is to say about the start may be written only now: then once more."""
            size = log.stat().st_size
            resource.prlimit(side.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            return log.stat().st_size == size
        eventually(is_limited, "the file is as large as it may be")
        for count in range(1, 4):
            side.signal(signal.SIGHUP)  # a line in the log, or the attempt
            side.signal(signal.SIGUSR1)
            self.wait_recorded(side, count)
        self.assertEqual(self.counts(side), {signal.SIGUSR1: 3})
        self.assertEqual(log.stat().st_size, resource.prlimit(side.pid, resource.RLIMIT_FSIZE)[0], "the limit was met")
        self.assertTrue(side.is_running())


if __name__ == "__main__":
    unittest.main()
