"""Real processes for the end-to-end tests: the development platform, the sidecar, agents. Standard library only.

    class SomeTest(harness.Case):
        def test_it(self):
            platform = self.platform()
            side = self.sidecar(platform, command=harness.example_agent())
            side.wait_ready()
            ...

Everything a test starts is ended by its pid when the test is over, its files are in a temporary directory that goes away, its ports
are free ones, its environment holds nothing of ours but what the test gives. Waiting is for a condition, with a deadline; a failed
test prints what its processes wrote.
"""
import contextlib
import http.client
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import uuid

SOURCE = pathlib.Path(os.environ.get("SOURCE_DIR", pathlib.Path(__file__).resolve().parents[2]))
SIDECAR = os.environ.get("SIDECAR_BIN", str(SOURCE / "build/dev/molecule-sidecar"))
DEVPLATFORM = os.environ.get("DEVPLATFORM_BIN", str(SOURCE / "build/dev/molecule-devplatform"))
IS_SLOW = "asan" in SIDECAR or "asan" in DEVPLATFORM
PATIENCE = 60 if IS_SLOW else 40  # seconds; the deadline of a wait that names none. Only failing tests ever take it
TOKEN = "test-token-0123456789abcdefghijklmnopqrstuvwxyz"

for ignored in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):  # by nohup, or by a shell that has started us in the background: inherited
    if signal.getsignal(ignored) is signal.SIG_IGN:
        signal.signal(ignored, signal.SIG_DFL)


# ---- waiting ---------------------------------------------------------------------------------------------------------

def eventually(condition, what, timeout=PATIENCE, every=0.02):
    """The first true value of condition(); it may raise OSError or HTTPException meanwhile. AssertionError at the deadline."""
    end = time.monotonic() + timeout
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
        except (OSError, http.client.HTTPException, ValueError) as problem:
            last = problem
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {timeout} s" + (f" (last: {last!r})" if last else ""))
        time.sleep(every)


def gathered(count, wanted, what, timeout=PATIENCE):
    """Until count() is at least `wanted`, however many there are: the deadline is that of the next one."""
    had = -1
    while had < wanted:
        had = eventually(lambda: (n := count()) > had and [n], f"{what}: more than {had} of {wanted}", timeout)[0]  # noqa: B023


claims = []  # sockets whose abstract names say which ports are ours, until this process ends


def is_claimed(port):
    """Claims it, unless another test process on this machine has: between finding a port free and listening there lies some time."""
    s = socket.socket(socket.AF_UNIX)
    try:
        s.bind(f"\0molecule-test-port-{port}")
    except OSError:
        s.close()
        return True
    claims.append(s)
    return False


def free_port():
    """A port that was free a moment ago. Taken from below the ephemeral range, so that no outgoing connection takes it meanwhile."""
    low = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(200):
        port = 10000 + int.from_bytes(os.urandom(2), "big") % max(low - 10000, 2000)
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                s.bind(("127.0.0.1", port))
                if not is_claimed(port):
                    return port
    raise AssertionError("no free port")


# ---- HTTP ------------------------------------------------------------------------------------------------------------

class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Answer:
    def __init__(self, response, body):
        self.status, self.headers, self.body = response.status, response.headers, body
        self.text = body.decode(errors="replace")

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.text[:300]!r}>"


def connection(where, timeout=PATIENCE):
    """`where`: a port, or the path of a Unix socket."""
    if isinstance(where, int):
        return http.client.HTTPConnection("127.0.0.1", where, timeout=timeout)
    return UnixConnection(where, timeout)


def call(where, method, path, body=None, headers=None, timeout=PATIENCE):
    """One request on a connection of its own. A dict or list becomes JSON. Who answers need not have read all of it."""
    c = connection(where, timeout)
    headers = dict(headers or {})
    if isinstance(body, (dict, list)):
        body = json.dumps(body)
        headers.setdefault("Content-Type", "application/json")
    with contextlib.closing(c):
        c.connect()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused and closed while we sent; if there is no answer, that is told next
            c.request(method, path, body, headers)
        r = c.getresponse()
        return Answer(r, r.read())


def get(where, path, **kw):
    return call(where, "GET", path, **kw)


def post(where, path, body=None, **kw):
    return call(where, "POST", path, body, **kw)


def a2a(text, method="message/send", rpc_id=1, **message):
    """A JSON-RPC body as an A2A 0.3 or 1.0 client writes it."""
    v1 = method[0].isupper()
    part = {"text": text} if v1 else {"kind": "text", "text": text}
    m = {"messageId": str(uuid.uuid4()), "role": "ROLE_USER" if v1 else "user", "parts": [part], **message}
    return {"jsonrpc": "2.0", "id": rpc_id, "method": method, "params": {"message": m if v1 else {"kind": "message", **m}}}


def answer_text(answer):
    """The text of a message/send or SendMessage answer."""
    result = answer["result"]
    return "".join(p.get("text", "") for p in result.get("message", result)["parts"])


def stream(where, path, body, headers=None, timeout=PATIENCE):
    """POST, then yield (seconds since the request, decoded JSON) of each event as it arrives."""
    c = connection(where, timeout)
    begin = time.monotonic()
    with contextlib.closing(c):
        c.request("POST", path, json.dumps(body), {"Content-Type": "application/json", "Accept": "text/event-stream", **(headers or {})})
        r = c.getresponse()
        if r.status != 200 or r.headers.get("Content-Type", "").split(";")[0] != "text/event-stream":
            raise AssertionError(f"no event stream: {r.status} {r.headers.get('Content-Type')} {r.read()[:300]!r}")
        while line := r.readline():
            if line.startswith(b"data:"):
                yield time.monotonic() - begin, json.loads(line[5:])


def raw(where, data, timeout=PATIENCE, shut=False):
    """Send bytes, return all bytes until the other side closes (or the deadline: then what came so far)."""
    family, address = (socket.AF_INET, ("127.0.0.1", where)) if isinstance(where, int) else (socket.AF_UNIX, str(where))
    got = b""
    with socket.socket(family) as s:
        s.settimeout(timeout)
        s.connect(address)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # answered and closed before it had all: the answer counts
            s.sendall(data)
        if shut:
            with contextlib.suppress(OSError):  # not connected any more, for the same reason
                s.shutdown(socket.SHUT_WR)
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while more := s.recv(65536):
                got += more
    return got


# ---- processes -------------------------------------------------------------------------------------------------------

SCRUBBED = re.compile(r"^(MOLECULE_|KUBERNETES_|WORKSPACE_|AGENT_|PLATFORM_URL$|PORT$|PARENT_ID$|ORG_ID$|CONFIGS_DIR$|NOTIFY_SOCKET$"
                      r"|WATCHDOG_|LISTEN_|RUNTIME_DIRECTORY$|TERMINATION_GRACE|XDG_RUNTIME_DIR$|.*_proxy$|.*_PROXY$)")


def clean_environment(home, extra=None):
    env = {k: v for k, v in os.environ.items() if not SCRUBBED.match(k)}
    env.update(HOME=str(home), TMPDIR=str(home), PYTHONUNBUFFERED="1", LC_ALL="C.UTF-8")
    for key, value in (extra or {}).items():
        if value is None:
            env.pop(key, None)
        else:
            env[key] = str(value)
    return env


class Output:
    """One output of a child, as lines. Its bytes are taken from the pipe under `news`, by whoever comes first: the thread that waits for
    them, or a test that looks. So a look sees all that was written before it, and what is in no line yet has not been written."""

    def __init__(self, pipe, news):
        self.pipe, self.news = pipe, news
        self.lines, self.rest = [], b""
        self.is_open = True
        os.set_blocking(pipe.fileno(), False)  # our end; the child's is its own
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def take(self):
        """All that is in the pipe now. Under `news`."""
        with contextlib.suppress(BlockingIOError):
            while self.is_open:
                data = os.read(self.pipe.fileno(), 65536)
                *whole, self.rest = (self.rest + data).split(b"\n")
                if not data:
                    self.is_open = False
                    whole += [self.rest] if self.rest else []
                self.lines += [line.decode(errors="replace") for line in whole]

    def _read(self):
        waiting = select.poll()
        waiting.register(self.pipe, select.POLLIN)
        while self.is_open:
            waiting.poll()
            with self.news:
                self.take()
                self.news.notify_all()
        self.pipe.close()


class Process:
    """A child whose two outputs are gathered as they come."""

    def __init__(self, name, argv, env, cwd, preexec=None):
        self.name, self.argv = name, [str(a) for a in argv]
        self.news = threading.Condition()
        self.p = subprocess.Popen(self.argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, preexec_fn=preexec, bufsize=0)
        self.pid, self.started = self.p.pid, start_time(self.p.pid)
        self.outputs = [Output(pipe, self.news) for pipe in (self.p.stdout, self.p.stderr)]

    def _lines(self, *outputs):
        with self.news:
            for o in outputs:
                o.take()
            return [line for o in outputs for line in o.lines]

    @property
    def out(self):
        return self._lines(self.outputs[0])

    @property
    def err(self):
        return self._lines(self.outputs[1])

    @property
    def lines(self):
        """Of both outputs, with all that it has written by now."""
        return self._lines(*self.outputs)

    def text(self):
        return "\n".join(self.lines)

    def wait_line(self, pattern, timeout=PATIENCE, after=0):
        """The first line (of either output, not among the first `after`) that the pattern is found in."""
        found = re.compile(pattern)
        end = time.monotonic() + timeout
        with self.news:
            while True:
                is_late = time.monotonic() >= end or not self.is_reading()  # asked before the last look
                for line in self.lines[after:]:
                    if found.search(line):
                        return line
                if is_late:
                    break
                self.news.wait(min(max(end - time.monotonic(), 0), 0.2))
        raise AssertionError(f"{self.name} never wrote /{pattern}/" + ("" if self.p.poll() is None else f", it ended with {self.p.returncode}"))

    def is_reading(self):
        """Somebody, it or whom it left behind, has one of its outputs open."""
        return any(o.is_open for o in self.outputs)

    def signal(self, number):
        self.p.send_signal(number)

    def wait_exit(self, timeout=PATIENCE):
        """Its exit status (negative: killed by that signal). All that it wrote is in its lines then."""
        try:
            return self.p.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs after {timeout} s") from None

    def terminate(self, timeout=PATIENCE):
        self.signal(signal.SIGTERM)
        return self.wait_exit(timeout)

    def is_running(self):
        return self.p.poll() is None

    def end(self):
        """TERM, then KILL; with it the descendants that are still ours to find."""
        family = descendants(self.pid) if start_time(self.pid) == self.started else []  # else the number is another one's by now
        if self.is_running():
            self.p.terminate()
            try:
                self.p.wait(5)
            except subprocess.TimeoutExpired:
                self.p.kill()
                self.p.wait()
        for pid, started in family:
            if start_time(pid) == started:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for o in self.outputs:
            o.reader.join(2)


def start_time(pid):
    """Distinguishes a process from another one that got its number; None when it is gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None


def processes():
    """(pid, its parent's, start time) of each that is there: one look at /proc."""
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                yield int(entry.name), int(fields[1]), fields[19]


def children(pid):
    return [child for child, parent, _ in processes() if parent == pid]


def descendants(pid):
    """(pid, start time) of each below it."""
    below = {}
    for child, parent, started in processes():
        below.setdefault(parent, []).append((child, started))
    found, parents = [], [pid]
    while parents:
        new = below.pop(parents.pop(), [])
        found += new
        parents += [child for child, _ in new]
    return found


def is_alive(pid):
    """Runs, and is no zombie."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Platform(Process):
    """A development platform with one workspace (or as many as asked for)."""

    def __init__(self, directory, workspaces, flags):
        self.port = free_port()  # no port of an outgoing connection, which another process could get when this one is killed and comes again
        super().__init__("platform", [DEVPLATFORM, "--listen", f"127.0.0.1:{self.port}", *flags,
                                      *(a for w in workspaces for a in ("--workspace", w))],
                         clean_environment(directory), directory)
        self.workspaces = [w.partition(":")[0] for w in workspaces]
        self.id = self.workspaces[0] if self.workspaces else None
        self.token = next((w.partition(":")[2] for w in workspaces), "")
        self.wait_line(r"listening on")
        self.url = f"http://127.0.0.1:{self.port}"

    def call(self, method, path, body=None, token=None, **headers):
        """As somebody with `token`; header names with '_' for '-'."""
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return call(self.port, method, path, body, headers)

    def state(self, workspace=None):
        return get(self.port, "/dev/state").json["workspaces"][workspace or self.id]

    def status(self, workspace=None):
        return self.state(workspace)["status"]

    def beat(self, workspace=None):
        """The last heartbeat as it came."""
        return self.state(workspace)["last_heartbeat"] or {}

    def log(self, path="", method="", since=0):
        return get(self.port, f"/dev/log?since={since}&method={method}&path={path}").json

    def last_seq(self):
        return get(self.port, "/dev/state").json["last_seq"]

    def faults(self, *faults, **switches):
        a = post(self.port, "/dev/faults", {**({"faults": list(faults)} if faults else {}), **switches})
        assert a.status == 200, a
        return a.json["ids"]

    def clear_faults(self):
        call(self.port, "DELETE", "/dev/faults")

    def wait_status(self, status, workspace=None, timeout=PATIENCE):
        """"online": and registered, which a heartbeat may be quicker than; before, nobody can send to it."""
        def is_so():
            state = self.state(workspace)
            return state["status"] == status and (status != "online" or state["registrations"] > 0)
        eventually(is_so, f"workspace is {status}", timeout)

    def wait_call(self, path, method="", since=0, timeout=PATIENCE, count=1, status=None):
        """Until `count` such calls are in the log; they are returned."""
        def found():
            entries = [e for e in self.log(path, method, since) if status is None or e["status"] == status]
            return entries if len(entries) >= count else None
        return eventually(found, f"{count} x {method} {path}", timeout)

    def rows(self, rows, workspace=None, **batch):
        """Rows of one transaction (POST /dev/rows), such as {"text": ..., "source_id": ...}; their ids. batch: age_ms, apart_us, event."""
        a = post(self.port, "/dev/rows", {"workspace": workspace or self.id, "rows": rows, **batch})
        assert a.status == 200, a
        return a.json["ids"]

    def answers(self, since=0):
        """What agents told people and replied to peers after the n-th of them (GET /dev/answers)."""
        found = []
        while page := get(self.port, f"/dev/answers?since={since + len(found)}").json["answers"]:
            found += page
        return found

    def send(self, text, workspace=None, **headers):
        """A message of the canvas user."""
        return self.call("POST", f"/workspaces/{workspace or self.id}/a2a", a2a(text), **headers)

    def peer(self, name="peer", **more):
        """(id, token) of a new workspace that polls and may talk to the first one."""
        a = self.call("POST", "/workspaces", {"name": name, "runtime": "external", "delivery_mode": "poll", **more})
        assert a.status == 201, a
        return a.json["id"], a.json["connection"]["auth_token"]

    def send_as(self, peer, text, workspace=None, **message):
        """A message of a peer: the (id, token) of peer()."""
        return self.call("POST", f"/workspaces/{workspace or self.id}/a2a", a2a(text, **message), token=peer[1], X_Workspace_ID=peer[0])


class Sidecar(Process):
    """molecule-sidecar run, on free ports, with its sockets and its state in a directory of its own."""

    def __init__(self, directory, platform, command, flags, env, config, preexec=None, program=None, push=False):
        self.dir = directory
        self.port, self.admin = free_port(), free_port()
        self.run_dir = directory / "run"
        self.run_dir.mkdir(exist_ok=True)
        self.state_dir = directory / "state"
        self.agent_socket = self.run_dir / "agent.sock"
        self.control = self.run_dir / "control.sock"
        settings = {"RUNTIME_DIRECTORY": self.run_dir, "CONFIGS_DIR": self.state_dir}
        self.state_dir.mkdir(exist_ok=True)
        base = []
        for flag, port in (("--listen-address", self.port), ("--admin-address", self.admin)):
            base += [] if flag in flags else [flag, f"127.0.0.1:{port}"]
        if push:
            settings["MOLECULE_REPORTED_URL"] = f"http://localhost:{self.port}"
        if platform:
            settings.update(WORKSPACE_ID=platform.id, PLATFORM_URL=platform.url)
            if platform.token:
                settings["MOLECULE_WORKSPACE_TOKEN"] = platform.token
        elif "--platform-enabled" not in flags:
            base += ["--platform-enabled", "false"]
        if config is not None:
            (directory / "sidecar.yaml").write_text(config)
            base += ["--config", str(directory / "sidecar.yaml")]
        settings.update(env or {})
        self.environment = clean_environment(directory, settings)
        tail = ["--", *command] if command else []
        super().__init__("sidecar", [*(program or [SIDECAR]), "run", *base, *flags, *tail], self.environment, directory, preexec)

    def probe(self, name, query=""):
        """(status, decoded answer) of an admin path such as readyz."""
        a = get(self.admin, f"/{name}{query}")
        return a.status, a.json

    def is_probe(self, name, status=200):
        return get(self.admin, f"/{name}").status == status

    def wait_probe(self, name, status=200, timeout=PATIENCE):
        eventually(lambda: self.is_probe(name, status), f"/{name} answers {status}", timeout)

    def wait_ready(self, timeout=PATIENCE):
        def ready():
            if not self.is_running():
                raise AssertionError(f"the sidecar ended with {self.p.returncode}")
            return self.is_probe("readyz")
        eventually(ready, "the sidecar is ready", timeout)
        return self

    def send(self, text, method="message/send", path="/", **kw):
        return post(self.port, path, a2a(text, method), **kw)

    def metrics(self):
        """{'name{labels}': number} of the metrics page."""
        found = {}
        for line in get(self.admin, "/metrics").text.splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                found[name] = float(value)
        return found

    def command(self, *args, timeout=PATIENCE):
        """Run another subcommand against this sidecar: (exit status, stdout, stderr)."""
        r = subprocess.run([SIDECAR, *args], env=self.environment, cwd=self.dir, capture_output=True, text=True, timeout=timeout)
        return r.returncode, r.stdout, r.stderr

    def agent_pids(self):
        return children(self.pid)

    def exit_sentence(self):
        return self.lines[-1] if self.lines else ""


def example_agent(name="agent.py", *args):
    return [sys.executable, str(SOURCE / "examples/python" / name), *args]


def test_agent(name, *args):
    """One of tests/support/agents: an agent with a fault."""
    return [sys.executable, str(pathlib.Path(__file__).resolve().parent / "agents" / name), *args]


def python(code, *args):
    """A command that runs a piece of Python: a throw-away agent."""
    return [sys.executable, "-c", code, *args]


# ---- the test case ---------------------------------------------------------------------------------------------------

class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        base = "/tmp" if len(tempfile.gettempdir()) > 40 else None  # the path of a Unix socket is short
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ms-", dir=base))
        self.processes = []
        self.addCleanup(self._finish)

    def _finish(self):
        for p in reversed(self.processes):
            p.end()
        if self._has_failed():
            for p in self.processes:
                print(f"---- {p.name} ({p.pid}): {' '.join(p.argv[:12])} -> {p.p.returncode}", file=sys.stderr)
                print("\n".join(p.out[-60:] + p.err[-120:]), file=sys.stderr)
        for p in self.processes:
            for line in p.err:
                self.assertNotRegex(line, "ERROR: (Address|Leak)Sanitizer|runtime error:", f"{p.name} was caught by a sanitizer")
                self.assertNotIn(TOKEN, line, f"{p.name} has written the token")
        shutil.rmtree(self.dir, ignore_errors=True)

    def _has_failed(self):
        outcome = self._outcome
        result = getattr(outcome, "result", None)
        if not result:
            return False
        return any(test is self for test, _ in getattr(result, "failures", []) + getattr(result, "errors", [])) or not outcome.success

    def start(self, process):
        self.processes.append(process)
        return process

    def sub_dir(self):
        return pathlib.Path(tempfile.mkdtemp(dir=self.dir, prefix="s"))

    def platform(self, *flags, workspaces=None, token=TOKEN):
        """token "": the workspace has none, the first register mints it."""
        if workspaces is None:
            workspaces = [str(uuid.uuid4()) + (f":{token}" if token else "")]
        return self.start(Platform(self.dir, workspaces, flags))

    def reopen(self, platform):
        """SIGKILL for a platform with --data; the one that follows has its port and its file, and is returned."""
        platform.signal(signal.SIGKILL)
        platform.wait_exit()
        again = Platform.__new__(Platform)
        again.__dict__.update(workspaces=platform.workspaces, id=platform.id, token=platform.token, port=platform.port, url=platform.url)
        Process.__init__(again, "platform", platform.argv, clean_environment(self.dir), self.dir)
        self.start(again).wait_line(r"listening on")
        return again

    def sidecar(self, platform=None, *flags, command=None, env=None, config=None, directory=None, preexec=None, program=None,
                push=False):
        """push: the platform may send to it (MOLECULE_REPORTED_URL). A flag given here replaces ours of the same name."""
        return self.start(Sidecar(directory or self.sub_dir(), platform, command, flags, env, config, preexec, program, push))

    def process(self, name, argv, env=None):
        return self.start(Process(name, argv, clean_environment(self.dir, env), self.dir))

    def gate(self):
        """(command, open) of an agent that answers each message when open() was called, and says "asked N" when it has the Nth one."""
        go = self.sub_dir() / "go"
        return test_agent("slow.py", go), go.touch

    def thread(self, fn, *args):
        """Runs fn in the background; .result(timeout) gives its value or raises what it raised."""
        t = Background(fn, args)
        t.start()
        return t


def ordinary_user(directory):
    """(preexec, program) for a sidecar that is not root. When we are, it becomes nobody, which gets `directory` and a copy of the binary."""
    if os.geteuid() != 0:
        return None, None
    program = directory / "molecule-sidecar"
    shutil.copy(SIDECAR, program)
    for path in (directory, *directory.rglob("*")):
        os.chown(path, 65534, 65534)
    for path in directory.parents:
        if path.name.startswith("ms-"):
            path.chmod(0o755)

    def become():
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

    return become, [str(program)]


class Background(threading.Thread):
    def __init__(self, fn, args):
        super().__init__(daemon=True)
        self.fn, self.args, self.value, self.problem = fn, args, None, None

    def run(self):
        try:
            self.value = self.fn(*self.args)
        except BaseException as problem:  # handed to whoever asks for the result
            self.problem = problem

    def result(self, timeout=PATIENCE):
        self.join(timeout)
        if self.is_alive():
            raise AssertionError(f"{self.fn} still runs after {timeout} s")
        if self.problem:
            raise self.problem
        return self.value
