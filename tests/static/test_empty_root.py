# ctest: timeout=300
"""The static program in a root that holds nothing but itself and what a container runtime puts into any: resolv.conf, hosts. No libc,
no /proc, no shell. It finds the platform by name (hosts file, name server, search list, past a mute server), over TLS with the CA
bundle of the image, knows the image's users, and installs itself. Needs user namespaces (an unprivileged one will do)."""
import contextlib
import os
import pathlib
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import threading
import unittest

import harness
from harness import example_agent

NAMESPACE = ["unshare", "--map-root-user", "--user", "--net", "--mount"]
A, AAAA = 1, 28


def namespaces_work():
    try:
        return subprocess.run([*NAMESPACE, "true"], capture_output=True, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


class NameServer(threading.Thread):
    """Answers from a table {name: IPv4 address}: other types of such a name with nothing, other names with NXDOMAIN. None: never."""

    def __init__(self, address, table):
        super().__init__(daemon=True)
        self.table, self.asked, self.is_over = table, [], threading.Event()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 53))
        self.socket.settimeout(0.1)

    def run(self):
        while not self.is_over.is_set():
            with contextlib.suppress(TimeoutError):
                packet, peer = self.socket.recvfrom(4096)
                if self.table is not None:
                    self.socket.sendto(self.answer(packet), peer)

    def end(self):
        """The port is free again when this returns."""
        self.is_over.set()
        self.join()
        self.socket.close()

    def answer(self, packet):
        labels, at = [], 12
        while packet[at]:
            labels.append(packet[at + 1:at + 1 + packet[at]].decode())
            at += 1 + packet[at]
        name, kind = ".".join(labels).lower(), struct.unpack("!H", packet[at + 1:at + 3])[0]
        self.asked.append((name, kind))
        found = self.table.get(name)
        question = packet[12:at + 5]
        count = 1 if found and kind == A else 0
        head = packet[:2] + struct.pack("!HHHHH", 0x8180 if found else 0x8183, 1, count, 0, 0)
        row = b"\xc0\x0c" + struct.pack("!HHIH", A, 1, 30, 4) + socket.inet_aton(found) if count else b""
        return head + question + row


def tls_before(port, certificate, key):
    """A port that speaks TLS and passes what it carries on to another one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))

    def copy(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def serve(client):
        with contextlib.suppress(OSError), context.wrap_socket(client, server_side=True) as inner, \
                socket.create_connection(("127.0.0.1", port)) as outer:
            back = threading.Thread(target=copy, args=(outer, inner), daemon=True)
            back.start()
            copy(inner, outer)
            back.join()

    def accept():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener


@unittest.skipUnless("INSIDE_NAMESPACE" in os.environ or namespaces_work(), "no user namespaces here")
class EmptyRoot(unittest.TestCase):
    """The tests run themselves again inside the namespace, where port 53 is ours and a root can be changed."""

    def test_from_outside(self):
        env = {**os.environ, "INSIDE_NAMESPACE": "1"}
        r = subprocess.run([*NAMESPACE, "sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, "-B", "-m", "unittest", "-v",
                            "test_empty_root.Inside"], env=env, cwd=pathlib.Path(__file__).parent, capture_output=True, text=True,
                           timeout=800)
        sys.stderr.write(r.stderr)
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        self.assertNotIn("skipped", r.stderr)


if os.environ.get("INSIDE_NAMESPACE"):
    class Inside(harness.Case):
        def root(self, hosts="127.0.0.1 localhost\n", resolv=""):
            """A new root with the program in it."""
            root = self.dir / "root"
            for name in ("etc/ssl/certs", "run", "state"):
                (root / name).mkdir(parents=True)
            shutil.copy2(harness.SIDECAR, root / "molecule-sidecar")
            (root / "etc/hosts").write_text(hosts)
            (root / "etc/resolv.conf").write_text(resolv)
            return root

        def inside(self, root, *args, **env):
            return subprocess.run(["chroot", root, "/molecule-sidecar", *args], capture_output=True, text=True, timeout=60,
                                  env={"PATH": os.environ["PATH"], **env})

        def side_in(self, root, platform, url, *flags, command=None, **env):
            """`molecule-sidecar run` in that root, beside an agent in ours."""
            env = {"WORKSPACE_ID": platform.id, "PLATFORM_URL": url, "RUNTIME_DIRECTORY": "/run", "CONFIGS_DIR": "/state",
                   "MOLECULE_WORKSPACE_TOKEN": platform.token, "TMPDIR": "/run", "HOME": "/", **env}
            return self.sidecar(None, "--platform-enabled", "true", "--platform-heartbeat-interval", "1s", *flags, command=command,
                                env=env, program=["chroot", root, "/molecule-sidecar"])

        def name_server(self, address, table):
            server = NameServer(address, table)
            server.start()
            self.addCleanup(server.end)
            return server

        def test_by_the_hosts_file(self):
            platform = self.platform()
            root = self.root(hosts="127.0.0.1 localhost\n127.0.0.1 other platform.hosts # ours\n")
            self.side_in(root, platform, f"http://platform.hosts:{platform.port}")
            platform.wait_status("online")

        def test_localhost_needs_neither_file_nor_server(self):
            platform = self.platform()
            root = self.root()
            for name in ("hosts", "resolv.conf"):
                (root / "etc" / name).unlink()
            self.side_in(root, platform, f"http://localhost:{platform.port}")
            platform.wait_status("online")

        def test_by_a_name_server_with_a_search_list(self):
            server = self.name_server("127.0.0.1", {"platform.agents.svc.example": "127.0.0.1"})
            platform = self.platform()
            root = self.root(resolv="search none.example agents.svc.example\nnameserver 127.0.0.1\noptions ndots:5\n")
            self.side_in(root, platform, f"http://platform:{platform.port}")
            platform.wait_status("online")
            for kind in (A, AAAA):
                self.assertIn(("platform.none.example", kind), server.asked, "the search list in its order")
                self.assertIn(("platform.agents.svc.example", kind), server.asked)

        def test_a_dotted_name_below_ndots_is_found_after_the_search_list(self):
            server = self.name_server("127.0.0.1", {"platform.example": "127.0.0.1"})
            platform = self.platform()
            root = self.root(resolv="search agents.svc.example\nnameserver 127.0.0.1\noptions ndots:5\n")
            self.side_in(root, platform, f"http://platform.example:{platform.port}")
            platform.wait_status("online")
            names = list(dict.fromkeys(name for name, kind in server.asked if kind == A))  # who is slow is asked twice
            self.assertEqual(names[:2], ["platform.example.agents.svc.example", "platform.example"])

        def test_a_mute_first_server_is_passed_over(self):
            self.name_server("127.0.0.2", None)
            self.name_server("127.0.0.1", {"platform.example": "127.0.0.1"})
            platform = self.platform()
            root = self.root(resolv="nameserver 127.0.0.2\nnameserver 127.0.0.1\n")
            self.side_in(root, platform, f"http://platform.example:{platform.port}")
            platform.wait_status("online", timeout=60)

        def test_a_name_that_nobody_knows_is_said(self):
            self.name_server("127.0.0.1", {})
            platform = self.platform()
            side = self.side_in(self.root(resolv="nameserver 127.0.0.1\n"), platform, f"http://platform.example:{platform.port}")
            side.wait_line("cannot resolve platform.example")

        def test_over_tls_with_the_bundle_of_the_image(self):
            certificate, key = self.dir / "tls.crt", self.dir / "tls.key"
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                            "-subj", "/CN=platform.example", "-addext", "subjectAltName=DNS:platform.example", "-keyout", key,
                            "-out", certificate], check=True, capture_output=True, timeout=60)
            platform = self.platform()
            listener = tls_before(platform.port, certificate, key)
            self.addCleanup(listener.close)
            url = f"https://platform.example:{listener.getsockname()[1]}"
            root = self.root(hosts="127.0.0.1 platform.example\n")
            side = self.side_in(root, platform, url, "--platform-state-interval", "1s")
            side.wait_line("TLS: ")
            self.assertNotEqual(platform.status(), "online")
            shutil.copy(certificate, root / "etc/ssl/certs/ca-certificates.crt")
            platform.wait_status("online", timeout=60)

        def test_a_message_passes(self):
            platform = self.platform()
            port = harness.free_port()
            self.process("agent", example_agent(), env={"PORT": port})
            root = self.root(hosts="127.0.0.1 platform.hosts\n")
            side = self.side_in(root, platform, f"http://platform.hosts:{platform.port}", "--agent-address", f"http://127.0.0.1:{port}")
            side.wait_ready()
            self.assertEqual(side.send("x").status, 200)

        def test_users_are_those_of_the_image(self):
            root = self.root()
            (root / "etc/passwd").write_text("keeper:x:0:0:Keeper:/state:/molecule-sidecar\n")
            (root / "etc/group").write_text("keepers:x:0:\n")
            done = self.inside(root, "run", "--platform-enabled", "false", "--agent-user", "nobody", "--", "/molecule-sidecar", "--version",
                               RUNTIME_DIRECTORY="/run")
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn('there is no user "nobody" on this system', done.stderr)
            done = self.inside(root, "run", "--platform-enabled", "false", "--agent-protocol", "none", "--restart-policy", "never",
                               "--admin-address", "127.0.0.1:0", "--agent-user", "keeper:keepers", "--", "/molecule-sidecar", "--version",
                               RUNTIME_DIRECTORY="/run")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("molecule-sidecar ", done.stdout)

        def test_installs_itself_into_a_foreign_root(self):
            root = self.root()
            (root / "molecule-sidecar").unlink()
            shared = root / "shared"
            shared.mkdir()
            done = subprocess.run([harness.SIDECAR, "install", shared], capture_output=True, text=True, timeout=60)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            done = subprocess.run(["chroot", root, "/shared/molecule-sidecar", "--version"], capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual((shared / "molecule-sidecar").read_bytes(), pathlib.Path(harness.SIDECAR).read_bytes())


if __name__ == "__main__":
    unittest.main()
