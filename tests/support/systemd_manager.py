"""A real systemd for tests: a user manager in mount and pid namespaces of its own, which knows only the units of the test.

Nothing of the machine can be changed by it: its file systems' root is read-only but for one scratch directory, its unit path, its
generators and its environment are the test's, and its processes are in cgroups made for it, so that no unit of the distribution
ever runs. All of it ends with the first process of its pid namespace. unavailable() says in one sentence why it cannot be had.
"""
import contextlib
import os
import pathlib
import shutil
import subprocess

import harness

SYSTEMD = next((p for p in ("/usr/lib/systemd/systemd", "/lib/systemd/systemd") if os.access(p, os.X_OK)), None)
CGROUPS = pathlib.Path("/sys/fs/cgroup")

# $1: the scratch directory. set -e before the first mount: without a read-only root nothing is started.
BOOT = """
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
mount -t tmpfs none /run
mkdir -p /run/systemd/system
mount -o remount,bind,ro /
if touch "/.writable" 2>/dev/null; then exit 1; fi
cd /
env -i PATH="$PATH" LC_ALL=C.UTF-8 HOME="$1/home" XDG_RUNTIME_DIR="$1/run" XDG_CONFIG_HOME="$1/home/.config" \\
    SYSTEMD_UNIT_PATH="$1/units" SYSTEMD_GENERATOR_PATH="$1/none" SYSTEMD_ENVIRONMENT_GENERATOR_PATH="$1/none" \\
    "$2" --user --log-target=null --unit=test.target &
wait
"""


def cgroup_parents():
    """Where a user manager makes its cgroups: below our own one in the hierarchy that only tracks processes."""
    found = []
    for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            root = CGROUPS / "unified" if (CGROUPS / "unified").is_dir() else CGROUPS
        elif controllers == "name=systemd":
            root = CGROUPS / "systemd"
        else:
            continue
        found.append(root / path.lstrip("/"))
    return found


def unavailable():
    if not SYSTEMD:
        return "no systemd is installed"
    if os.geteuid() != 0:
        return "a service manager in a namespace needs root"
    for tool in ("unshare", "nsenter", "systemctl", "mount"):
        if not shutil.which(tool):
            return f"no {tool} is installed"
    parents = cgroup_parents()
    if not parents or not all(os.access(p, os.W_OK) and (p / "cgroup.procs").exists() for p in parents):
        return "no cgroup of ours may have children"
    probe = subprocess.run(["unshare", "--mount", "--pid", "--fork", "--mount-proc", "true"], capture_output=True, text=True)
    return f"no namespaces: {probe.stderr.strip()}" if probe.returncode else None


class Manager:
    """Booted when it is made; close() ends it. `dir` holds units/, home/, run/ and is the only place it can write to."""

    def __init__(self, directory):
        self.dir = pathlib.Path(directory)
        for name in ("units", "home", "run", "none"):
            (self.dir / name).mkdir(mode=0o700)
        for name in ("test", "basic", "sockets", "shutdown", "network-online", "multi-user"):
            (self.dir / f"units/{name}.target").write_text("[Unit]\nDefaultDependencies=no\n")
        self.log = open(self.dir / "manager.log", "w+")
        self.cgroups = [p / f"molecule-test-{os.getpid()}" for p in cgroup_parents()]
        self.p = None
        try:
            for c in self.cgroups:
                c.mkdir()
            self.p = subprocess.Popen(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", BOOT, "boot",
                                       str(self.dir), SYSTEMD],
                                      stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, preexec_fn=self._join)
            harness.eventually(self._is_up, "the service manager answers", timeout=60, every=0.2)
        except BaseException:
            self.close()
            raise

    def _join(self):
        for c in self.cgroups:
            (c / "cgroup.procs").write_text(str(os.getpid()))

    def _first(self):
        """The first process of the namespace, as we number it."""
        if self.p.poll() is not None:
            raise AssertionError(f"the service manager ended: {self.text()}")
        return next(iter(harness.children(self.p.pid)), None)

    def _is_up(self):
        return self._first() and (self.dir / "run/systemd/private").exists() and self.run("is-active", "test.target").returncode == 0

    def text(self):
        return (self.dir / "manager.log").read_text(errors="replace")

    def run(self, *args, timeout=90):
        """systemctl inside; the finished process with its output."""
        return subprocess.run(["nsenter", "-t", str(self._first()), "-m", "-p", "env", f"XDG_RUNTIME_DIR={self.dir}/run",
                               "systemctl", "--user", "--no-pager", *args], capture_output=True, text=True, timeout=timeout)

    def do(self, *args):
        r = self.run(*args)
        if r.returncode != 0:
            raise AssertionError(f"systemctl {' '.join(args)}: {r.returncode} {r.stdout}{r.stderr}\n{self.text()[-6000:]}")
        return r.stdout

    def show(self, unit, prop):
        return self.do("show", "--value", "-p", prop, unit).strip()

    def wait(self, unit, prop, value, timeout=90):
        harness.eventually(lambda: self.show(unit, prop) == value, f"{prop} of {unit} is {value}", timeout, every=0.1)

    def close(self):
        if self.p:
            self.p.kill()  # --kill-child: the namespace's first process goes with it, and with that all others
            self.p.wait()
        self.log.close()

        def removed():
            for c in self.cgroups:
                for path in sorted((p for p in c.rglob("*") if p.is_dir()), reverse=True):
                    path.rmdir()
                with contextlib.suppress(FileNotFoundError):
                    c.rmdir()
            return True
        harness.eventually(removed, "all processes of the service manager are gone", timeout=30, every=0.1)
