"""The kubelet's part of a pod's life, played against real processes: no cluster, no containers, only what they are told and when.

    native    the sidecar is an init container with restartPolicy Always. Its startupProbe (/startupz) holds back the agent's container. The
              pod is ready when the agent's container runs and the sidecar's readinessProbe (/readyz) says so. At the end it gets TERM
              only when the agent's container has ended.
    classic   two plain containers, started side by side, each stopped by itself at the same time.
    wrapper   one container; the sidecar is its first process and the agent its child.

What is copied from the kubelet (pkg/kubelet/kuberuntime, killContainer): one grace counted from the deletion, all preStop hooks at once and
within it, then TERM with what is left of it, at least two seconds, then KILL for the whole container. A preStop hook that takes longer is
left behind. A container that ended by itself is started again at once, then after 10 s, 20 s and so on; no preStop runs for it. One that
its livenessProbe condemns is stopped as above, preStop and all, and started again. After a deletion nothing is started again.

`second` is how long a second of the kubelet takes here.
"""
import asyncio
import contextlib
import os
import signal
import time

import harness

CAPABILITY = "rollout-rollout-rollout-rollout"
DRAIN = f"/drain/{CAPABILITY}"
LEAST_GRACE = 2        # seconds a container has from TERM to KILL, however long its hook took
BACKOFF = (0, 10, 20, 40, 80, 160, 300)
PROBE_PERIOD = 1       # seconds between two readiness probes
UNREADY_AFTER = 3      # failures in a row
PATIENCE = 120         # real seconds for what no grace bounds


async def get(port, path, timeout=PATIENCE):
    """The status of one request; OSError when there is nobody."""
    async def ask():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: kubelet\r\nConnection: close\r\n\r\n".encode())
            line = await reader.readline()
            await reader.read()
        finally:
            writer.close()
        if not line:
            raise ConnectionResetError(path)
        return int(line.split()[1])
    return await asyncio.wait_for(ask(), timeout)


async def is_ok(port, path):
    try:
        return await get(port, path, timeout=5) == 200
    except (OSError, asyncio.TimeoutError):
        return False


def send(pid, born, number):
    """To that process, not to another one that has its id by now."""
    if born and harness.start_time(pid) == born:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


class Container:
    """One process and its descendants, started again as a pod's restartPolicy Always says."""

    def __init__(self, name, argv, env, directory, second, least_grace=LEAST_GRACE):
        self.name, self.argv, self.env, self.dir, self.second = name, [str(a) for a in argv], env, directory, second
        self.least_grace = least_grace
        self.p, self.born, self.starts, self.exits, self.was_killed = None, None, 0, [], False
        self.is_deleted = self.is_stopping = False
        self.ended = asyncio.Event()  # for good
        self.life = None

    @property
    def is_running(self):
        return self.p is not None and self.p.returncode is None

    @property
    def status(self):
        return self.exits[-1] if self.exits else None

    def log(self):
        path = self.dir / f"{self.name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self):
        self.life = asyncio.create_task(self.live())

    async def live(self):
        while True:
            with open(self.dir / f"{self.name}.log", "ab") as log:
                self.p = await asyncio.create_subprocess_exec(*self.argv, env=self.env, cwd=self.dir, stdin=asyncio.subprocess.DEVNULL,
                                                              stdout=log, stderr=log)
            self.born = harness.start_time(self.p.pid)
            self.starts += 1
            await self.p.wait()
            self.exits.append(self.p.returncode)
            if not self.is_deleted:
                await asyncio.sleep(BACKOFF[min(self.starts - 1, len(BACKOFF) - 1)] * self.second)
            if self.is_deleted:
                self.ended.set()
                return

    def signal(self, number):
        """Not by Popen: that looks whether it has ended, and takes the status from the one that waits for it."""
        if self.is_running:
            send(self.p.pid, self.born, number)

    def kill(self):
        """KILL for all of it, as a control group's end is."""
        if not self.is_running:
            return
        family = harness.descendants(self.p.pid)
        self.was_killed = True
        for pid, born in [(self.p.pid, self.born), *family]:
            send(pid, born, signal.SIGKILL)

    async def stop(self, grace, hook=None, turn=None):
        """killContainer: the hook, its turn, TERM, KILL. `grace` in the kubelet's seconds."""
        end = time.monotonic() + grace * self.second
        if hook and self.is_running:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(hook(), max(0, end - time.monotonic()))
        if turn:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(turn.wait(), max(0, end - time.monotonic()))
        exits = len(self.exits)
        left = max(self.least_grace * self.second, end - time.monotonic())
        self.signal(signal.SIGTERM)
        by = time.monotonic() + left
        while self.is_running and len(self.exits) == exits:
            if time.monotonic() >= by:
                self.kill()
            await asyncio.sleep(0.005)

    async def delete(self, grace, hook=None, turn=None):
        self.is_deleted = True
        if self.life is None or self.ended.is_set():
            self.ended.set()
            return
        if not self.is_running:  # it waits for its back-off: nothing runs
            self.life.cancel()
            self.ended.set()
            return
        await self.stop(grace, hook, turn)
        await asyncio.wait_for(self.ended.wait(), PATIENCE)

    async def abandon(self):
        """At the end of a test, whatever it was doing."""
        self.is_deleted = True
        self.kill()
        if self.life:
            self.life.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.life
        self.kill()


class Pod:
    """One of a world's. mode: native, classic, wrapper. hook: the agent's container has its preStop. stop_grace: the sidecar's, when it is
    not the kubelet's. drain_delay None: the sidecar's own. state: a directory that outlives the pod, as a claim's volume does."""

    def __init__(self, name, mode, directory, service, book, *, second=1.0, grace=120, drain_delay=5, hook=True, flags=(), agent=(), env=None,
                 stop_grace=None, least_grace=LEAST_GRACE, state=None):
        self.name, self.mode, self.dir, self.service = name, mode, directory, service
        self.second, self.grace, self.drain_delay, self.has_hook = second, grace, drain_delay, hook
        self.port, self.admin = harness.free_port(), harness.free_port()
        (directory / "run").mkdir(parents=True)
        state = state or directory / "state"
        state.mkdir(exist_ok=True)
        self.socket = directory / "run" / "agent.sock"
        flags = ["--listen-address", f"127.0.0.1:{self.port}", "--admin-address", f"127.0.0.1:{self.admin}", "--admin-drain-path", DRAIN,
                 "--stop-grace", f"{(stop_grace or grace) * second * 1000:.0f}ms",
                 *([] if drain_delay is None else ["--stop-drain-delay", f"{drain_delay * second * 1000:.0f}ms"]),
                 # without a shared process namespace a signal cannot reach the agent, and here it could
                 *(["--stop-peer", "wait"] if mode == "classic" else ["--stop-peer", "off"] if mode == "native" else []), *flags]
        settings = {"RUNTIME_DIRECTORY": directory / "run", "CONFIGS_DIR": state, "KUBERNETES_SERVICE_HOST": "10.0.0.1", **(env or {})}
        if "WORKSPACE_ID" not in settings:
            flags += ["--platform-enabled", "false"]
        sidecar = [harness.SIDECAR, "run", *flags]
        agent = harness.test_agent("podded.py", book, name, *agent)
        side_env = harness.clean_environment(directory, settings)
        agent_env = harness.clean_environment(directory, {"MOLECULE_AGENT_SOCKET": self.socket})
        self.agent = Container("agent", agent, agent_env, directory, second, least_grace)
        if mode == "wrapper":
            self.sidecar = Container("sidecar", [*sidecar, "--", *agent], side_env, directory, second, least_grace)
            self.containers = [self.sidecar]
        else:
            self.sidecar = Container("sidecar", sidecar, side_env, directory, second, least_grace)
            self.containers = [self.sidecar, self.agent]
        self.is_ready, self.deleted_at, self.hooks = False, None, []
        self.tasks = []

    def promised_until(self):
        """Requests begun before are answered; None: there is no end in sight."""
        if self.deleted_at is None:
            return None
        return self.deleted_at + (self.drain_delay or 0) * self.second

    # ---- life ----

    def start(self):
        self.tasks = [asyncio.create_task(self.come_up()), asyncio.create_task(self.watch())]

    async def come_up(self):
        self.sidecar.start()
        if self.mode == "classic":
            self.agent.start()
        if self.mode != "native":
            return
        while not await is_ok(self.admin, "/startupz"):
            await asyncio.sleep(PROBE_PERIOD * self.second / 5)
        self.agent.start()

    async def watch(self):
        """readinessProbe: what the endpoints are made of. An agent's container that does not run makes a pod unready at once."""
        misses = 0
        while True:
            runs = all(c.is_running for c in self.containers)
            good = runs and await is_ok(self.admin, "/readyz")
            misses = 0 if good else misses + 1
            if good and not self.is_ready:
                self.is_ready = True
                self.service.add(self)
            elif self.is_ready and (not runs or misses >= UNREADY_AFTER):
                self.is_ready = False
                self.service.remove(self)
            await asyncio.sleep(max(PROBE_PERIOD * self.second / (1 if self.is_ready else 5), 0.02))

    async def wait_ready(self, timeout=PATIENCE):
        end = time.monotonic() + timeout
        while not self.is_ready:
            if time.monotonic() > end:
                raise AssertionError(f"{self.name} is not ready within {timeout} s")
            await asyncio.sleep(0.01)

    async def hook(self):
        """preStop: httpGet of the agent's container, to the sidecar. What it answers is of no interest, that it answers is."""
        begun = time.monotonic()
        try:
            self.hooks.append([await get(self.admin, DRAIN), time.monotonic() - begun])
        except OSError as problem:  # FailedPreStopHook: an event, and on
            self.hooks.append([type(problem).__name__, time.monotonic() - begun])

    def stop_watching(self):
        for task in self.tasks:
            task.cancel()

    async def delete(self):
        """The pod's deletion, to the end of its last container. Returns the seconds it took (the kubelet's)."""
        self.stop_watching()
        begun = self.deleted_at = time.monotonic()
        self.service.remove(self)
        hook = self.hook if self.has_hook else None
        if self.mode == "wrapper":
            await self.sidecar.delete(self.grace)
        elif self.mode == "classic":
            await asyncio.gather(self.sidecar.delete(self.grace), self.agent.delete(self.grace, hook))
        else:
            await asyncio.gather(self.agent.delete(self.grace, hook), self.sidecar.delete(self.grace, turn=self.agent.ended))
        return (time.monotonic() - begun) / self.second

    async def restart_agent(self):
        """What a failed livenessProbe of the agent's container does: its preStop, its TERM, and its next start. The pod lives on."""
        starts = self.agent.starts
        await self.agent.stop(self.grace, self.hook if self.has_hook else None)
        end = time.monotonic() + PATIENCE
        while self.agent.starts == starts:
            if time.monotonic() > end:
                raise AssertionError("the agent's container was not started again")
            await asyncio.sleep(0.01)

    async def abandon(self):
        self.stop_watching()
        for c in self.containers:
            await c.abandon()

    def tell(self, lines=25):
        """What a failed test is judged by."""
        return "\n".join(f"---- {self.name} {c.name}: {c.exits}\n" + "\n".join(c.log().splitlines()[-lines:]) for c in self.containers)
