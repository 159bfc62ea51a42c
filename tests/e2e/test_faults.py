"""System calls that fail: each call of ours that starts, watches, signals or ends processes, one at a time.

Programs are linked with tests/faults/shim.c between them and libc: the sidecar itself, and the supervisor alone (faults_life). A run
without a fault says which calls there are; then each call site fails with each errno that it might, the first time it is reached, the
last time, and from the first time on. After each run: a status and a sentence that TABLE allows, no zombie, no process left, no
descriptor that a run without a fault would not have, none of ours in the agent, and not many more calls (nothing spins).

docs/supervision.md holds TABLE for people; `PYTHONPATH=tests/support python3 tests/e2e/test_faults.py --print` writes it there
anew. A call that no row matches fails the test: give it a row. FAULTS=fork runs only the calls whose name begins so,
FAULTS_VERBOSE=1 prints every run.
"""
# ctest: long
# ctest: timeout=600
# ctest: serial
import collections
import concurrent.futures
import contextlib
import errno
import fcntl
import fnmatch
import os
import pathlib
import re
import select
import shutil
import signal
import sys
import tempfile
import time
import unittest

import harness

BUILD = pathlib.Path(harness.SIDECAR).parent
DOCUMENT = harness.SOURCE / "docs/supervision.md"
BEGIN, END = "<!-- faults: printed by tests/e2e/test_faults.py -->", "<!-- faults: end -->"
HANGS_S = 150  # no deadline within a run is longer than 100 s
MORE_CALLS = 3000  # than without a fault; a turn of the loop is at least one call, a spin makes as many in 20 ms
SAMPLE = 4 if harness.IS_SLOW else 1  # under sanitizers every fourth run
WORKERS = 4  # runs at once; some only wait for a deadline
STRAY_FD = 50  # what each run gets without close-on-exec; the agent must not see it

# Crashes once and leaves a process in its group; then has the sidecar stopped, by a process in a session of its own. It waits without a
# child: one that a shell has just forked would swallow our TERM by the shell's trap. A shell whose TERM came just before it began to read
# hears of it when it has read something (Run.POKE_S).
AGENT = r"""
d=$1
if ! [ -e "$d/ran" ]; then
  : >"$d/ran"
  (trap '' TERM; exec sleep 1000) &
  exit 7
fi
trap 'exit 42' TERM
echo /proc/self/fd/* >"$d/fds"
(parent=$PPID exec setsid sh -c '@STOP@; exec sleep 1000' &)
while :; do read -r word <>"$d/never"; done
"""
# Nobody else's process may have taken the number of a sidecar that is gone.
STOP_PARENT = 'read -r name </proc/${parent:-$PPID}/comm; case $name in molecule-sideca|faults_life) kill -TERM ${parent:-$PPID};; esac'
AGENT = AGENT.replace("@STOP@", STOP_PARENT)

# ---- what is to happen -----------------------------------------------------------------------------------------------

FIRST, LATER, ON = "first", "later", "on"  # the first call of a site, its last one, all from the first
OK = "ok"  # the status of a run without a fault

Row = collections.namedtuple("Row", "call what errnos statuses says words leaves slow modes", defaults=(False, False, (FIRST, LATER, ON)))


def same(statuses):
    return {FIRST: statuses, LATER: statuses, ON: statuses}


def goes_on(call, what, errnos, words, says=None, **kw):
    return Row(call, what, errnos, same({OK}), says, words, **kw)


def again(call, what, errnos, says, words):
    """The start fails, and is tried again after the back-off: five times in a row are the end."""
    return Row(call, what, errnos, {FIRST: {OK}, LATER: {OK}, ON: {70}}, says, words)


def hopeless(call, what, errnos, says, words):
    """As again(), but the first start of all is not tried again."""
    return Row(call, what, errnos, {FIRST: {2}, LATER: {OK}, ON: {2}}, says, words)


def no_start(call, what, errnos, says, words):
    return Row(call, what, errnos, same({70}), says, words)


# `what` is one argument of the call, as the shim says it. The first row that matches counts. `says` must be in the log where the status
# is not the usual one, and of some run of the row in any case.
BACKS_OFF = "tried again after the back-off; `restart.max` times in a row are the end (status 70)"
HOPELESS = "the first start: the end (status 2); a later one is tried again"
TABLE = (
    Row("fork", "", "EAGAIN ENOMEM", {FIRST: {OK}, LATER: {OK}, ON: {70, 7}}, "cannot start sh: fork: .*limit on processes",
        "tried again after the back-off; `restart.max` times in a row are the end (status 70; the agent's own when it has run)"),
    goes_on("clone", "", "EAGAIN ENOMEM", "the first start alone; tried again after the back-off, by `fork`",
            "cannot start sh: fork: .*limit on processes"),
    hopeless("execve", "", "EACCES ENOENT E2BIG", "cannot exec sh: ", HOPELESS),
    hopeless("execve", "", "ENOEXEC", "cannot exec sh: ", "text without a `#!` line is run by `/bin/sh`; else " + HOPELESS),
    again("execve", "", "ENOMEM ETXTBSY", "cannot exec sh: ", BACKS_OFF),
    again("pipe2", "", "EMFILE ENFILE", "cannot start sh: no pipe: ", BACKS_OFF),
    hopeless("setpgid", "by the child", "EPERM EACCES", "cannot start sh: cannot make a process group: ", HOPELESS),
    goes_on("setpgid", "by us", "EACCES EPERM", "nothing: the child has done it too"),
    hopeless("prctl", "PR_SET_PDEATHSIG", "EINVAL EPERM", "cannot start sh: cannot tie it to our own life: ", HOPELESS),
    hopeless("prctl", "PR_SET_NO_NEW_PRIVS", "EINVAL EPERM", "cannot start sh: cannot set no_new_privs: ", HOPELESS),
    goes_on("prctl", "PR_SET_CHILD_SUBREAPER", "EINVAL EPERM",
            "said at the start; orphans go to the real init, and those in sessions of their own outlive us", "orphans will not be reaped",
            leaves=True),
    goes_on("prctl", "PR_SET_DUMPABLE", "EPERM", "goes on; a process with our uid could look into our memory"),
    goes_on("close_range", "", "ENOSYS EPERM", "each descriptor up to the limit is marked by itself: the agent gets none of ours"),
    hopeless("setrlimit", "RLIMIT_* of the child", "EPERM", "cannot start sh: cannot give back the limits: ", HOPELESS),
    goes_on("setrlimit", "RLIMIT_* of ours", "EPERM", "goes on with the limit as it is"),
    hopeless("chdir", "", "ENOENT EACCES", r"cannot change to directory .* \(agent.cwd\)", HOPELESS),
    Row("kill", "*", "EPERM ESRCH", same({OK, 137}), "cannot send SIG(TERM|KILL) to the agent: ",
        "a signal that does not arrive: the grace goes on to KILL; what survives KILL is given up after 5 s. EPERM is said", True, True),
    goes_on("waitid", "", "EINTR", "asked again at once", modes=(FIRST, LATER)),
    Row("waitid", "", "EPERM ENOSYS", {FIRST: {OK, 137}, LATER: {OK, 137}, ON: {OK, 137}}, "cannot see whether the agent has ended: waitid: ",
        "said once, asked again every 200 ms; while it lasts a stop takes its whole grace and 5 s (status 137)", True, True),
    goes_on("waitpid", "", "EINTR", "asked again at once", modes=(FIRST, LATER)),
    goes_on("pidfd_open", "", "ENOSYS EPERM EMFILE", "the process is held by its number, which is its own until we reap it"),
    no_start("signalfd", "", "EMFILE ENODEV", "cannot start: cannot read signals through a descriptor: ", "no start (status 70)"),
    no_start("timerfd_create", "", "EMFILE ENODEV", "cannot start: cannot make the event loop's timer: ", "no start (status 70)"),
    no_start("eventfd", "", "EMFILE ENODEV", "cannot start: cannot make the storage thread's event descriptor: ", "no start (status 70)"),
    no_start("uv_loop_init", "", "EMFILE ENOMEM", "cannot start: cannot make an event loop: ", "no start (status 70)"),
    goes_on("uv_poll_init", "pipe", "ENOMEM ENOSPC",
            "said; whether exec worked is read when the process ends, and the agent counts as spawning until then",
            "cannot watch the start of sh: "),
    goes_on("uv_poll_init", "epoll_create*", "ENOMEM ENOSPC", "a full stderr is tried again every 200 ms"),
    no_start("uv_poll_init", "*", "ENOMEM ENOSPC", "cannot start: ", "signals, timers, the disk, a listener: no start (status 70)"),
    goes_on("epoll_create1", "", "EMFILE", "a full stderr is tried again every 200 ms"),
    goes_on("epoll_ctl", "*", "ENOMEM", "a full stderr is tried again every 200 ms"),
    no_start("socket", "AF_INET*", "EMFILE ENOBUFS", "cannot start: ", "a listener: no start (status 70)"),
    Row("socket", "*", "EMFILE ENOBUFS", same({OK, 70}), "cannot start: ", "a door of ours: no start (status 70); asking the agent: no answer"),
    goes_on("open", "*", "EMFILE EACCES",
            "the terminal counts as absent, stderr is asked before each write, the termination message is left out, an exec error has no "
            "detail"),
    Row("fopen", "*", "EMFILE ENOENT", same({OK, 137}), "cannot list ",
        "ENOENT: the parents of all processes are asked. Else said; TERM and KILL go to the group alone, the rest is looked for again at the "
        "next death and at the deadline", True, True),
    Row("opendir", "*", "EMFILE ENOENT", same({OK, 137}), "cannot list ", "as fopen", True, True),
    goes_on("read", "*", "EINTR EAGAIN", "asked again: at once, or when the loop says so", modes=(FIRST, LATER)),
    goes_on("write", "stderr", "EPIPE ENOSPC EIO", "the lines are dropped, counted, and the next one that passes says how many"),
    goes_on("write", "*", "EINTR", "written again", modes=(FIRST, LATER)),
    goes_on("poll", "", "EINTR", "asked again, or as if the time were over", modes=(FIRST, LATER)),
    goes_on("clock_gettime", "*", "EPERM ENOSYS", "the coarse clock is asked; without that one too: a sentence, and abort"),
)


def row_of(call, what, number):
    for i, row in enumerate(TABLE):
        if row.call == call and fnmatch.fnmatchcase(what, row.what) and (number is None or number in row.errnos.split()):
            return i
    return None


def table_text():
    lines = ["| call | for | errno | what happens |", "|---|---|---|---|"]
    for r in TABLE:
        what = {"": "", "*": "any other" if sum(x.call == r.call for x in TABLE) > 1 else "any"}.get(r.what, f"`{r.what}`")
        lines.append(f"| `{r.call}` | {what} | {r.errnos.replace(' ', ', ')} | {r.words} |")
    return "\n".join(lines)


# ---- a run -----------------------------------------------------------------------------------------------------------

class Run:
    """One process from start to end, and everything the test asks about it."""

    POKE_S = 3

    def __init__(self, scenario, directory, fault=None, slow=False, leaves=False, stop_after=None):
        self.patience = 0.2 if leaves else 60  # seconds until descendants count as left
        self.dir = directory
        for sub in ("run", "state"):
            (directory / sub).mkdir(parents=True)
        (directory / "agent.sh").write_text(AGENT)
        (directory / "calls").touch(0o600)
        os.mkfifo(directory / "never")
        extra = {"RUNTIME_DIRECTORY": directory / "run", "CONFIGS_DIR": directory / "state", "MOLECULE_FAULT_CALLS": directory / "calls"}
        if fault:
            extra["MOLECULE_FAULT"] = "\t".join(map(str, fault))
        self.argv = scenario.argv(directory, 0.3 if slow else 60)
        begin = time.monotonic()
        self._run(harness.clean_environment(directory, extra), stop_after, scenario.is_stderr_full)
        self.seconds = time.monotonic() - begin
        lines = [line.split("\t") for line in (directory / "calls").read_text().splitlines()]
        self.calls = [tuple(line[:3]) for line in lines if line[0] != "end"]
        self.is_hit = any(line[3] == "hit" for line in lines if line[0] != "end")
        self.ends = [line for line in lines if line[0] == "end"]
        fds = directory / "fds"
        # supervisor_free() waits a second for those it has killed, and then says who they are; that they go is seen by `has_left`
        self.was_slow_to_die = "survives SIGKILL" in self.log and self.seconds > 1
        self.agent_fds = sorted(fds.read_text().split()) if fds.exists() else None

    def _run(self, env, stop_after, is_stderr_full):
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        null = os.open(os.devnull, os.O_RDONLY)
        if is_stderr_full:
            os.write(err_end, b"\n" * fcntl.fcntl(err_end, fcntl.F_SETPIPE_SZ, 4096))
        actions = [(os.POSIX_SPAWN_DUP2, a, b) for a, b in ((null, 0), (out_end, 1), (err_end, 2), (null, STRAY_FD))]
        pid = os.posix_spawn(self.argv[0], self.argv, env, file_actions=actions)
        for fd in (null, out_end, err_end):
            os.close(fd)
        os.set_blocking(err, False)
        self.log, self.status = "", None
        pidfd = os.pidfd_open(pid)
        never = os.open(self.dir / "never", os.O_RDWR | os.O_NONBLOCK)
        begin = poked = time.monotonic()
        while time.monotonic() < begin + HANGS_S and not select.select([pidfd], [], [], 0.05 if stop_after or is_stderr_full else self.POKE_S)[0]:
            if time.monotonic() >= poked + self.POKE_S:
                poked = time.monotonic()
                os.write(never, b"\n")
            if not is_stderr_full or "epoll_" in (self.dir / "calls").read_text():
                self._read(err)
            if stop_after and re.search(stop_after, self.log):
                signal.pidfd_send_signal(pidfd, signal.SIGTERM)
                stop_after = None
        if not select.select([pidfd], [], [], 0)[0]:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            self.log += "\n(the test had to kill it)"
        self.status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.close(pidfd)
        os.close(never)
        self._read(err)
        # each descendant has the other end of `out`
        self.has_left = not select.select([out], [], [], self.patience)[0] or bool(os.read(out, 1))
        if self.has_left:
            self._kill_holders(os.fstat(out).st_ino)
        os.close(out)
        os.close(err)

    def _read(self, err):
        with contextlib.suppress(BlockingIOError):
            while more := os.read(err, 65536):
                self.log += more.decode(errors="replace")

    @staticmethod
    def _kill_holders(inode):
        for link in pathlib.Path("/proc").glob("[0-9]*/fd/1"):
            with contextlib.suppress(OSError):
                if os.readlink(link) == f"pipe:[{inode}]":
                    os.kill(int(link.parts[2]), signal.SIGKILL)

    def descriptors(self):
        return int(self.ends[0][1]) if self.ends else -1

    def counted_calls(self):
        """Without those that grow with the number of processes of the machine."""
        return sum(not what.startswith("/proc/N/") for _, _, what in self.calls)


class Scenario:
    def __init__(self, name, program, status, argv, is_stderr_full=False):
        self.name, self.program, self.status, self._argv, self.is_stderr_full = name, program, status, argv, is_stderr_full

    def argv(self, directory, grace_s):
        return [str(BUILD / self.program), *map(str, self._argv(directory, grace_s))]


def sidecar_argv(d, grace_s):
    return ("run", "--listen-address", "127.0.0.1:0", "--admin-address", "127.0.0.1:0", "--platform-enabled", "false",
            "--restart-backoff", "10ms", "--restart-backoff-max", "10ms", "--stop-grace", f"{int(grace_s * 5000)}ms",
            "--stop-agent-grace", f"{int(grace_s * 1000)}ms", "--agent-cwd", d, "--agent-no-new-privs", "true",
            "--", "sh", d / "agent.sh", d)


def life_argv(how, *command):
    return lambda d, grace_s: (int(grace_s * 1000), how, *(command or ("sh", d / "agent.sh", d)))


SCENARIOS = (
    Scenario("the supervisor", "faults_life", 42, life_argv("end")),
    Scenario("the supervisor, freed while its agent runs", "faults_life", 0, life_argv("free", "sh", "-c", f"{STOP_PARENT}; exec sleep 1000")),
    Scenario("a program that is no program", "faults_life", 2, life_argv("end", "/etc/passwd")),
    Scenario("the supervisor, its stderr full", "faults_life", 42, life_argv("end"), is_stderr_full=True),
    Scenario("the sidecar", "molecule-sidecar-faults", 42, sidecar_argv),
)


class Faults(unittest.TestCase):
    def setUp(self):
        self.tmp = pathlib.Path(tempfile.mkdtemp(prefix="ms-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.tmp, True)
        self.number = 0

    def directory(self):
        self.number += 1
        return self.tmp / f"r{self.number}"

    def problems(self, scenario, base, run, row, mode, number):
        """What is wrong after that run, in sentences."""
        allowed = {scenario.status if s == OK else s for s in row.statuses[mode]} if run.is_hit else {scenario.status}
        if run.status not in allowed:
            yield f"status {run.status}, not one of {sorted(allowed)}"
        if run.status != scenario.status and run.status != 137 and row.says and not re.search(row.says, run.log):
            yield f"nothing in the log is like {row.says!r}"
        if re.search("Sanitizer|runtime error:|Assertion", run.log):
            yield "a report in the log"
        if len(run.ends) != 1:
            yield f"{len(run.ends)} regular ends"
        elif run.ends[0][2] != "nobody" and not (row.leaves and run.is_hit) and not run.was_slow_to_die:
            yield f"a {run.ends[0][2]} of ours was left"
        if run.has_left and not (row.leaves and run.is_hit):
            yield "processes are left"
        if run.descriptors() > base.descriptors():
            yield f"{run.descriptors()} descriptors at the end, {base.descriptors()} without a fault"
        if run.agent_fds and run.agent_fds != base.agent_fds:
            yield f"the agent has {run.agent_fds}"
        if run.counted_calls() > base.counted_calls() + MORE_CALLS:
            yield f"{run.counted_calls()} calls, {base.counted_calls()} without a fault: it spins"

    def plans(self, scenario, base, seen):
        """(call, site, what, which, mode, errno name, row number) for every site of the scenario that no scenario before it had."""
        for (call, site, what), count in sorted(collections.Counter(base.calls).items()):
            if (scenario.program, call, site, what) in seen or not call.startswith(os.environ.get("FAULTS", "")):
                continue
            seen.add((scenario.program, call, site, what))
            numbers = {n for r in TABLE if r.call == call and fnmatch.fnmatchcase(what, r.what) for n in r.errnos.split()}
            self.assertTrue(numbers, f"{call} for {what!r} has no row in the table")
            numbers = sorted(numbers, key=lambda n: (row_of(call, what, n), n))
            if any(p != scenario.program and (c, w) == (call, what) for p, c, _, w in seen):
                numbers = numbers[:1]  # the other program has tried the others
            for number in numbers:
                i = row_of(call, what, number)
                if i != row_of(call, what, None) and TABLE[row_of(call, what, None)].what != TABLE[i].what:
                    continue  # an errno of a later, wider row
                for mode, which in ((FIRST, "1"), (LATER, str(count)), (ON, "1+")):
                    if mode in TABLE[i].modes and (mode != LATER or count > 1):
                        yield call, site, what, which, mode, number, i

    def one(self, scenario, base, plan):
        call, site, what, which, mode, number, i = plan
        row = TABLE[i]
        stop_after = row.says if call == "waitid" and mode == ON and number != "EINTR" else None
        run = Run(scenario, self.tmp / f"r{plan_number(plan)}", (call, site, what, which, getattr(errno, number)), row.slow, row.leaves,
                  stop_after)
        problems = list(self.problems(scenario, base, run, row, mode, number))
        shutil.rmtree(run.dir, ignore_errors=True)
        return run, problems

    def test_each_call_fails_in_turn(self):
        seen, hits, said, tried = set(), collections.Counter(), set(), set()
        for scenario in SCENARIOS:
            with self.subTest(scenario.name):
                self.check(scenario, seen, hits, said, tried)
        if SAMPLE == 1 and not os.environ.get("FAULTS"):
            for i, row in enumerate(TABLE):
                self.assertTrue(i not in tried or not row.says or i in said, f"{row.call} {row.what!r}: no run said {row.says!r}")

    def check(self, scenario, seen, hits, said, tried):
        base = Run(scenario, self.directory())
        self.assertEqual(base.status, scenario.status, base.log)
        self.assertTrue([e[2] for e in base.ends] == ["nobody"] or base.was_slow_to_die, base.log)
        self.assertFalse(base.has_left)
        plans = list(self.plans(scenario, base, seen))
        plans = [p for k, p in enumerate(plans) if k % SAMPLE == 0]
        failures, missed, begin = [], 0, time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            for plan, (run, problems) in zip(plans, pool.map(lambda p: self.one(scenario, base, p), plans)):
                call, _, what, which, _, number, i = plan
                name = f"{call}({what}) number {which} fails with {number}"
                if os.environ.get("FAULTS_VERBOSE"):
                    print(f"{name}: status {run.status}, {run.seconds:.2f} s" + ("" if run.is_hit else ", not reached"), file=sys.stderr)
                missed += not run.is_hit
                tried.add(i)
                hits[call] += run.is_hit
                if TABLE[i].says and re.search(TABLE[i].says, run.log):
                    said.add(i)
                if problems:
                    failures.append(f"{name}: {'; '.join(problems)}\n  {run.log.strip()[-1500:]}")
        print(f"{scenario.name}: {len(set(p[:3] for p in plans))} call sites, {len(plans)} runs, {missed} of them ended before the call "
              f"came, {time.monotonic() - begin:.0f} s", file=sys.stderr)
        self.assertFalse(failures, f"{len(failures)} of {len(plans)}:\n" + "\n".join(failures))
        self.assertLessEqual(missed, len(plans) // 3, "the runs are not alike: their calls cannot be counted")


def plan_number(plan, numbers={}):
    """A directory's number: the same for equal plans, another for others."""
    return numbers.setdefault(plan, 100 + len(numbers))


class Document(unittest.TestCase):
    def test_the_page_holds_the_table(self):
        text = DOCUMENT.read_text(encoding="utf-8")
        self.assertEqual(text.partition(BEGIN)[2].partition(END)[0].strip(), table_text(), "run: PYTHONPATH=tests/support python3 tests/e2e/test_faults.py --print")


def print_table():
    text = DOCUMENT.read_text(encoding="utf-8")
    before, found, rest = text.partition(BEGIN)
    if not found:
        sys.exit(f"{DOCUMENT} has no line {BEGIN}")
    DOCUMENT.write_text(f"{before}{BEGIN}\n{table_text()}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["--print"]:
        print_table()
    else:
        unittest.main()
