"""podman, or docker where its daemon answers, for the tests in this folder: images, containers, what they left. Standard library only.

What a machine needs besides goes into CONTAINER_BUILD_FLAGS (words for `build`, such as --network=host); with CONTAINER_BUILD=no the images
are those that are there. podman's own settings are found
through $CONTAINERS_CONF as always. Everything made here carries a name of this run and is removed by that name.
"""
import http.client
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tarfile
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parents[1]
BUILD_S = 3600     # a whole build with all packages, on a small machine that does other things as well
COMMAND_S = 120
PATIENCE = 60
BASE = "debian:bookworm-slim"
RUN = f"molecule-test-{os.getpid()}"
LOCKED = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--user=65532:65532"]
FACTS = {"VERSION": "0.1.0", "REVISION": "0123456789ab", "CREATED": "2026-01-02T03:04:05Z"}
engine = None
prefix = []        # words before every call of the engine: into_own_cgroups()
built = {}


def command(*words, timeout=COMMAND_S, **more):
    return subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=timeout, **more)


def find_engine():
    """("podman" or "docker", None), or (None, why not)."""
    problems = []
    for name in os.environ.get("CONTAINER_ENGINE", "podman docker").split():
        if not shutil.which(name):
            problems.append(f"{name} is not installed")
            continue
        done = command(name, "info")
        if done.returncode == 0:
            return name, None
        problems.append(f"{name} does not work here: {(done.stderr.strip().splitlines() or ['no words'])[-1]}")
    return None, "; ".join(problems)


def need():
    """For setUpModule: an engine and a base image, or the module is skipped."""
    global engine
    if engine is None:
        engine, why = find_engine()
        if engine is None:
            raise unittest.SkipTest(f"no containers: {why}")
    if run("image", "inspect", BASE).returncode != 0 and run("pull", "-q", BASE, timeout=600).returncode != 0:
        raise unittest.SkipTest(f"no images: {BASE} is not here and cannot be pulled")


def tmpfs():
    """Flags for a place in memory for our sockets: the engines do not agree on how to name its owner."""
    return ["--mount=type=tmpfs,dst=/run/molecule,chown=true" if engine == "podman" else "--tmpfs=/run/molecule:mode=0700,uid=65532,gid=65532"]


def run(*words, **more):
    return command(*prefix, engine, *words, **more)


def must(*words, **more):
    """What the engine printed; AssertionError with its words when it failed."""
    done = run(*words, **more)
    if done.returncode != 0:
        raise AssertionError(f"{engine} {shlex.join(map(str, words))}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def pods_work():
    """None when the engine can start a pod, else its last words."""
    name = f"{RUN}-probe"
    try:
        for words in (("create", "--name", name), ("start", name)):
            done = run("pod", *words)
            if done.returncode != 0:
                return (done.stderr.strip().splitlines() or ["no words"])[-1]
    finally:
        run("pod", "rm", "-f", name)
    return None


def into_own_cgroups():
    """Lets every call of the engine run in the namespace of ./own_cgroups (it says why); a function that ends that, or None: it cannot be made."""
    keeper = subprocess.Popen(["unshare", "--mount", HERE / "own_cgroups", "sh", "-c", "echo made; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL)

    def leave():
        prefix.clear()
        keeper.communicate()  # nothing more to read ends it

    if keeper.stdout.readline() != b"made\n":
        leave()
        return None
    prefix[:] = ["nsenter", f"--mount=/proc/{keeper.pid}/ns/mnt", "--"]
    return leave


def image(target):
    """The image's name, built once. The names are those of docker/compose.yaml."""
    name = {"sidecar": "molecule-sidecar", "wrapper": "molecule-sidecar-wrapper", "devplatform": "molecule-devplatform",
            "agent": "molecule-agent", "wrapped": "molecule-agent-wrapped"}[target]
    if name not in built:
        started = time.monotonic()
        if os.environ.get("CONTAINER_BUILD") == "no":
            built[name] = json.loads(must("image", "inspect", name))[0]
            return name
        facts = [f"--build-arg={key}={value}" for key, value in FACTS.items()]
        must("build", *(["--format=docker", "--layers"] if engine == "podman" else []), *shlex.split(os.environ.get("CONTAINER_BUILD_FLAGS", "")),
             *facts, "--target", target, "-t", name, "-f", SOURCE / "docker/Dockerfile", SOURCE, timeout=BUILD_S)
        print(f"built {name} in {time.monotonic() - started:.0f} s", file=sys.stderr)
        built[name] = json.loads(must("image", "inspect", name))[0]
    return name


def facts(target):
    """What `inspect` says of the image's configuration."""
    return built[image(target)]["Config"]


def health_of(target):
    """HEALTHCHECK, which podman and docker keep in different places."""
    whole = built[image(target)]
    return whole["Config"].get("Healthcheck") or whole.get("HealthCheck") or whole.get("Healthcheck")


def files(name):
    """{path: tarfile.TarInfo} of an image, unpacked."""
    box = must("create", name, "x")
    try:
        with subprocess.Popen([engine, "export", box], stdout=subprocess.PIPE) as export, tarfile.open(fileobj=export.stdout, mode="r|") as tar:
            return {"/" + member.name.strip("./"): member for member in tar}
    finally:
        must("rm", "-f", box)


def read(name, path):
    """The bytes of one file of an image."""
    box = must("create", name, "x")
    try:
        with subprocess.Popen([engine, "export", box], stdout=subprocess.PIPE) as export, tarfile.open(fileobj=export.stdout, mode="r|") as tar:
            for member in tar:
                if "/" + member.name.strip("./") == path:
                    return tar.extractfile(member).read()
            raise AssertionError(f"{name} has no {path}")
    finally:
        must("rm", "-f", box)


def eventually(condition, what, timeout=PATIENCE, every=0.1):
    """The first true value of condition(), which may fail meanwhile."""
    end = time.monotonic() + timeout
    while True:
        last = None
        try:
            if value := condition():
                return value
        except (AssertionError, OSError, http.client.HTTPException, ValueError) as problem:
            last = problem
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {timeout} s" + (f" (last: {last})" if last else ""))
        time.sleep(every)


def call(port, method, path, body=None, timeout=30, host="127.0.0.1"):
    """(status, parsed JSON or text) of a port of this machine, or of a container's address."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"} if body else {})
        answer = connection.getresponse()
        data = answer.read().decode()
        try:
            return answer.status, json.loads(data)
        except ValueError:
            return answer.status, data
    finally:
        connection.close()


def a2a(text):
    return {"jsonrpc": "2.0", "id": 1, "method": "message/send",
            "params": {"message": {"role": "user", "messageId": f"m-{time.monotonic_ns()}", "parts": [{"kind": "text", "text": text}]}}}


class Case(unittest.TestCase):
    """Containers of a test are removed by their names when it is over; a failed one prints what they wrote."""

    def setUp(self):
        self.names = []
        self.addCleanup(self.clear)

    def clear(self):
        outcome = getattr(self._outcome, "result", None)
        failed = outcome and any(test is self for test, _ in outcome.failures + outcome.errors)
        for name in reversed(self.names):
            if failed:
                done = run("logs", name)
                print(f"---- {name}\n{done.stdout}{done.stderr}", file=sys.stderr)
            run("rm", "-f", "-v", name)

    def start(self, name, *words, flags=(), detached=True):
        """`run` in the background; the container's name."""
        full = f"{RUN}-{name}"
        self.names.append(full)
        must("run", *(["-d"] if detached else []), "--name", full, *flags, *words)
        return full

    def once(self, *words, flags=()):
        """`run --rm` to its end: CompletedProcess."""
        return run("run", "--rm", *flags, *words)

    def state(self, name):
        return json.loads(must("inspect", name))[0]["State"]

    def logs(self, name):
        done = run("logs", name)
        return done.stdout + done.stderr

    def wait_log(self, name, text, timeout=PATIENCE):
        eventually(lambda: text in self.logs(name), f"{name} says {text!r}", timeout)

    def stop(self, name, seconds=10):
        """`stop` with docker's 10 s: (seconds the engine took, exit status)."""
        began = time.monotonic()
        must("stop", "-t", seconds, name)
        return time.monotonic() - began, self.state(name)["ExitCode"]
