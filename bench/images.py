#!/usr/bin/env python3
"""What the sidecar's image costs beside HAProxy's and nginx's Debian packages, each in an image of its own.

    bench/images.py [--repeats 15] [--build-flags=--network=host]

Needs podman, root and the image molecule-sidecar (docs/docker.md says how it is built); makes bench-image-haproxy and bench-image-nginx out of
debian:bookworm-slim and the one package. Each image is unpacked and its program started in that root without an engine around it, so that
what is measured is the program's: unpacked size of the image, start to the first answer (the forwarders take turns; the median), and memory
at rest, the sidecar's also when it is registered at a development platform (`make static`) and polls it.
"""
import argparse
import contextlib
import json
import os
import shlex
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import forward

HERE = os.path.dirname(os.path.abspath(__file__))
DEVPLATFORM = os.path.join(os.path.dirname(HERE), "build/static/molecule-devplatform")
FORWARDERS = {"haproxy": "haproxy", "nginx": "nginx-light"}
WORKSPACE = "6f1c3a52-0d1e-4b7e-9a35-0c8f1f5a2b10"
REST_S = 5  # after that a program has given back what its start needed


def sh(*words, **more):
    return subprocess.run(words, check=True, capture_output=True, text=True, **more).stdout.strip()


class Boxed(forward.Target):
    """A forwarder of bench/forward.py, in the root of its image."""

    def __init__(self, name, port, where, agent_socket, root):
        self.root = root
        super().__init__(name, port, where, agent_socket)
        if name == "sidecar":
            self.command[0] = "/molecule-sidecar"

    def start(self, core, prefix=()):
        read, self.stamp = os.pipe()
        with open(os.path.join(self.where, self.name + ".log"), "ab") as log, open(read, encoding="ascii") as stamps:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=self.enter,
                                            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "RUNTIME_DIRECTORY": "/run/molecule",
                                                 "HOME": "/var/lib/molecule"})
            os.close(self.stamp)
            began = float(stamps.read())
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as s:
                s.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
                if s.recv(4096).startswith(b"HTTP/1.1 200"):
                    return time.monotonic() - began
            if self.process.poll() is not None or time.monotonic() > began + forward.START_S:
                raise SystemExit(f"{self.name} gave no answer:\n" + open(os.path.join(self.where, self.name + ".log"), encoding="utf-8").read())
            time.sleep(0.0002)

    def enter(self):
        os.chroot(self.root)
        os.chdir("/")
        os.write(self.stamp, str(time.monotonic()).encode())  # the moment before exec: forking this interpreter takes longer than the start


def unpack(image, where):
    """(root, MiB): the image's files in a directory, with what an engine would mount into it."""
    root = os.path.join(where, "root-" + image)
    os.mkdir(root)
    box = sh("podman", "create", image, "x")
    try:
        subprocess.run(f"podman export {box} | tar -x -C {shlex.quote(root)}", shell=True, check=True)
    finally:
        sh("podman", "rm", "-f", box)
    size = sum(os.lstat(os.path.join(top, f)).st_size for top, _, names in os.walk(root) for f in names)
    for path, words in (("dev", ["--rbind", "/dev"]), ("proc", ["-t", "proc", "proc"]), (where.lstrip("/"), ["--bind", where])):
        os.makedirs(os.path.join(root, path), exist_ok=True)
        sh("mount", *words, os.path.join(root, path))
    return root, size / 2**20


def registered(side, where):
    """Resident and private dirty KiB of the sidecar, registered and polling, at rest."""
    port = side.port + 50
    with open(os.path.join(where, "platform.log"), "ab") as log:
        platform = subprocess.Popen([DEVPLATFORM, "--listen", f"127.0.0.1:{port}", "--workspace", WORKSPACE], stdout=log, stderr=log)
    command = side.command
    try:
        at = command.index("--platform-enabled")
        side.command = [*command[:at], *command[at + 2:], "--workspace-id", WORKSPACE, "--platform-url", f"http://127.0.0.1:{port}"]
        side.start(0)
        end = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError, KeyError), urllib.request.urlopen(f"http://127.0.0.1:{port}/workspaces/{WORKSPACE}", timeout=5) as r:
                if json.load(r)["status"] == "online":
                    break
            if time.monotonic() > end:
                raise SystemExit("the sidecar was not registered")
            time.sleep(0.1)
        time.sleep(REST_S)
        return side.memory_kib(), side.memory_kib("Private_Dirty")
    finally:
        side.stop()
        side.command = command
        platform.send_signal(signal.SIGTERM)
        platform.wait()


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--repeats", type=int, default=15)
    p.add_argument("--build-flags", default="")
    o = p.parse_args()
    if "IMAGES_INSIDE" not in os.environ:  # the mounts below shall vanish with us
        os.execvpe("unshare", ["unshare", "--mount", sys.executable, *sys.argv], {**os.environ, "IMAGES_INSIDE": "1"})
    images = {"sidecar": "molecule-sidecar"}
    for name, package in FORWARDERS.items():
        images[name] = f"bench-image-{name}"
        if subprocess.run(["podman", "image", "exists", images[name]], check=False).returncode == 0:
            continue
        sh("podman", "build", *shlex.split(o.build_flags), "-t", images[name], "-f", "-", ".", cwd=HERE,
           input=f"FROM debian:bookworm-slim\nRUN apt-get update && apt-get install -y --no-install-recommends {package} && rm -rf /var/lib/apt/lists/*\n")
    with tempfile.TemporaryDirectory(prefix="molecule-bench-") as where, contextlib.ExitStack() as end:
        agent_socket = os.path.join(where, "agent.sock")
        agent = subprocess.Popen([os.path.join(forward.BUILD, "bench_agent"), agent_socket])
        end.callback(agent.wait)
        end.callback(agent.terminate)
        targets, sizes = [], {}
        for i, (name, image) in enumerate(images.items()):
            root, sizes[name] = unpack(image, where)
            targets.append(Boxed(name, forward.PORT + i, where, agent_socket, root))
            end.callback(targets[-1].stop)
            for mounted in (where.lstrip("/"), "proc", "dev"):
                end.callback(subprocess.run, ["umount", "--recursive", "--lazy", os.path.join(root, mounted)], capture_output=True)
        first = {t.name: [] for t in targets}
        for _ in range(o.repeats):
            for t in targets:
                first[t.name].append(t.start(0) * 1000)
                t.stop()
        rows = []
        for t in targets:
            t.start(0)
            time.sleep(REST_S)
            rows.append([t.name, sizes[t.name], statistics.median(first[t.name]), min(first[t.name]), t.memory_kib() / 1024,
                         t.memory_kib("Private_Dirty") / 1024])
            t.stop()
        rss, dirty = registered(targets[0], where)
        rows.append(["sidecar, registered", sizes["sidecar"], None, None, rss / 1024, dirty / 1024])
        forward.show("images", ["program", "image MiB", "first answer ms", "best ms", "resident MiB", "private dirty MiB"], rows)


if __name__ == "__main__":
    sys.exit(main())
