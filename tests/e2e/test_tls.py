"""TLS on the A2A listener, with clients that are not ours: Python's ssl module and curl."""
# ctest: long
# ctest: timeout=300
import contextlib
import http.client
import json
import shutil
import signal
import socket
import ssl
import subprocess
import unittest

import harness
from harness import a2a, answer_text, eventually, example_agent

DAYS = "365"


class Tls(harness.Case):
    def setUp(self):
        super().setUp()
        self.ca = self.certificate("ca", subject="/CN=test authority")
        self.server = self.certificate("server", signer="ca")

    def certificate(self, name, signer=None, subject=None, days=DAYS):
        """<name>.crt and .key in the test's directory; signed by `signer`, else by itself."""
        subject = subject or f"/CN={name}"
        key, request, cert = (self.dir / f"{name}.{end}" for end in ("key", "csr", "crt"))
        new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-subj", subject]
        if signer:
            (self.dir / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
            self.run_quietly(*new, "-out", request)
            self.run_quietly("openssl", "x509", "-req", "-in", request, "-CA", self.dir / f"{signer}.crt", "-CAkey", self.dir / f"{signer}.key",
                             "-CAcreateserial", "-days", days, "-extfile", self.dir / "names", "-out", cert)
        else:
            self.run_quietly(*new, "-x509", "-days", days, "-out", cert)
        key.chmod(0o600)
        return cert, key

    def run_quietly(self, *command):
        subprocess.run([str(c) for c in command], check=True, capture_output=True, timeout=60)

    def tls_sidecar(self, *flags, command=None, **kw):
        cert, key = self.server
        side = self.sidecar(None, "--listen-tls-cert", str(cert), "--listen-tls-key", str(key), "--listen-head-timeout", "5m", *flags,
                            command=command or example_agent(), **kw)
        return side.wait_ready()

    def context(self, own=None):
        c = ssl.create_default_context(cafile=str(self.ca[0]))
        c.set_alpn_protocols(["http/1.1"])
        if own:
            c.load_cert_chain(*map(str, own))
        return c

    def connection(self, side, **kw):
        return http.client.HTTPSConnection("127.0.0.1", side.port, timeout=harness.PATIENCE, context=self.context(**kw))

    def call(self, side, method, path, body=None, headers=None, **kw):
        with contextlib.closing(self.connection(side, **kw)) as c:
            c.request(method, path, json.dumps(body) if isinstance(body, dict) else body, headers or {})
            r = c.getresponse()
            return harness.Answer(r, r.read())

    def server_name(self, side):
        with socket.create_connection(("127.0.0.1", side.port), timeout=harness.PATIENCE) as raw, \
                self.context().wrap_socket(raw, server_hostname="127.0.0.1") as s:
            return dict(pair[0] for pair in s.getpeercert()["subject"])["commonName"]

    def curl(self, side, path, *options):
        r = subprocess.run(["curl", "-sS", "-i", "--max-time", "100", *map(str, options), f"https://127.0.0.1:{side.port}{path}"],
                           capture_output=True, text=True, timeout=120, env=side.environment)
        return r.returncode, r.stdout, r.stderr


class Messages(Tls):
    def test_messages_streams_and_the_card(self):
        side = self.tls_sidecar()
        a = self.call(side, "POST", "/", a2a("hello"), {"Content-Type": "application/json"})
        self.assertEqual((a.status, answer_text(a.json)), (200, "you said: hello"))
        with contextlib.closing(self.connection(side)) as c:
            c.request("POST", "/", json.dumps(a2a("count 5", "message/stream")), {"Content-Type": "application/json"})
            events = [line for line in c.getresponse() if line.startswith(b"data:")]
            self.assertEqual(len(events), 7)
        card = self.call(side, "GET", "/.well-known/agent-card.json").json
        self.assertTrue(card["url"].startswith(f"https://127.0.0.1:{side.port}"), card["url"])
        side.wait_line(r"A2A on https://127\.0\.0\.1")
        side.wait_line(r'"path":"/".*"scheme":"https"')

    def test_the_agent_is_told(self):
        side = self.tls_sidecar(command=harness.test_agent("mirror.py"))
        seen = self.call(side, "GET", "/x", headers={"X-Forwarded-Client-Cert": "Hash=1", "X-Forwarded-Proto": "http"}).json
        headers = {k.lower(): v for k, v in seen["headers"]}
        self.assertEqual(headers["x-forwarded-proto"], "https")
        self.assertNotIn("x-forwarded-client-cert", headers)

    def test_large_bodies_both_ways(self):
        side = self.tls_sidecar(command=harness.test_agent("mirror.py"))
        big = "".join(chr(ord("a") + i % 23) for i in range(9_000_000))
        self.assertEqual(self.call(side, "POST", "/", big).json["body"], big)

    def test_many_at_once(self):
        side = self.tls_sidecar()
        threads = [self.thread(self.call, side, "POST", "/", a2a("slow 1"), {"Content-Type": "application/json"}) for _ in range(32)]
        for t in threads:
            self.assertEqual(answer_text(t.result(2 * harness.PATIENCE).json), "that took 1 s")

    def test_curl_and_plain_http(self):
        side = self.tls_sidecar()
        code, out, err = self.curl(side, "/.well-known/agent-card.json", "--cacert", self.ca[0])
        self.assertEqual((code, out.partition("\n")[0]), (0, "HTTP/1.1 200 OK"), err)
        code, _, err = self.curl(side, "/")
        self.assertEqual(code, 60, err)
        code, _, err = self.curl(side, "/", "--cacert", self.ca[0], "--tls-max", "1.1", "--tlsv1.0", "--ciphers", "DEFAULT:@SECLEVEL=0")
        self.assertEqual(code, 35, err)
        got = harness.raw(side.port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertTrue(got.startswith(b"HTTP/1.1 400 "), got)
        self.assertIn(b"this port expects TLS", got)

    def test_an_agent_that_dies_in_its_answer_is_no_clean_end(self):
        half = r"""
import contextlib, os, socket
s = socket.socket(socket.AF_UNIX)
s.bind(os.environ["MOLECULE_AGENT_SOCKET"])
s.listen()
while True:
    c, _ = s.accept()
    with contextlib.suppress(OSError), c:
        is_half = b" /half " in c.recv(65536)
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
                  + (b"1000\r\n\r\nhalf" if is_half else b"2\r\n\r\n{}"))
"""
        side = self.tls_sidecar(command=harness.python(half))
        with self.assertRaises((http.client.IncompleteRead, OSError)):
            self.call(side, "GET", "/half")
        # HTTP/1.0: only the end of TLS tells that something is missing
        context = self.context()
        with socket.create_connection(("127.0.0.1", side.port), timeout=harness.PATIENCE) as raw, \
                context.wrap_socket(raw, server_hostname="127.0.0.1", suppress_ragged_eofs=False) as s:
            s.sendall(b"GET /half HTTP/1.0\r\n\r\n")
            with self.assertRaises(OSError):  # SSLEOFError, or a reset
                while s.recv(65536):
                    pass

    def test_a_stop_ends_cleanly(self):
        agent, go = self.gate()
        side = self.tls_sidecar("--stop-grace", "60s", command=agent)
        slow = self.thread(self.call, side, "POST", "/", a2a("x"), {"Content-Type": "application/json"})
        side.wait_line("^asked 1")
        side.signal(signal.SIGTERM)
        side.wait_line("running -> draining")
        go()
        self.assertEqual(side.wait_exit(), 0)
        self.assertEqual(answer_text(slow.result().json), "answer 1")


class Clients(Tls):
    def test_a_client_certificate_is_required_and_told_to_the_agent(self):
        own = self.certificate("client", signer="ca", subject='/CN=peer "1"')
        side = self.tls_sidecar("--listen-tls-client-ca", str(self.ca[0]), command=harness.test_agent("mirror.py"))
        seen = self.call(side, "GET", "/x", own=own, headers={"X-Forwarded-Client-Cert": "Hash=1"}).json
        values = [v for k, v in seen["headers"] if k.lower() == "x-forwarded-client-cert"]
        digest = subprocess.run(["openssl", "x509", "-in", own[0], "-noout", "-fingerprint", "-sha256"], check=True, capture_output=True, text=True)
        digest = digest.stdout.strip().rpartition("=")[2].replace(":", "").lower()
        self.assertEqual(values, [f'Hash={digest};Subject="CN=peer \\\\\\"1\\\\\\""'])
        with self.assertRaises(OSError):
            self.call(side, "GET", "/x")
        stranger = self.certificate("stranger")
        with self.assertRaises(OSError):
            self.call(side, "GET", "/x", own=stranger)
        side.wait_line("TLS handshake failed.*self-signed certificate")
        side.wait_line("callers with a certificate of listen.tls_client_ca")
        eventually(lambda: side.metrics()["molecule_sidecar_tls_handshake_failures_total"] == 2, "both are counted")

    def test_two_certificates_are_two_callers(self):
        side = self.tls_sidecar("--listen-tls-client-ca", str(self.ca[0]), "--forward-dedupe-window", "1m",
                                command=harness.test_agent("mirror.py"))
        answers = [self.call(side, "POST", "/", body={"jsonrpc": "2.0", "id": 1}, own=self.certificate(name, signer="ca")).text
                   for name in ("client", "other")]
        self.assertIn("CN=client", answers[0])
        self.assertIn("CN=other", answers[1])

    def test_send(self):
        side = self.tls_sidecar()
        url = f"https://localhost:{side.port}/"
        status, out, err = side.command("send", "--url", url, "--ca-file", str(self.ca[0]), "over TLS")
        self.assertEqual((status, out.strip()), (0, "you said: over TLS"), err)
        status, _, err = side.command("send", "--url", url, "over TLS")
        self.assertEqual(status, 1)
        self.assertRegex(err, "not trusted.*--ca-file names its authority")
        here = ["--listen-address", f"127.0.0.1:{side.port}", "--listen-tls-cert", str(self.server[0])]
        status, out, err = side.command("send", "here", *here)
        self.assertEqual((status, out.strip()), (0, "you said: here"), err)

    def test_send_shows_its_certificate(self):
        own = self.certificate("client", signer="ca")
        side = self.tls_sidecar("--listen-tls-client-ca", str(self.ca[0]))
        url = f"https://localhost:{side.port}/"
        status, out, err = side.command("send", "--url", url, "--ca-file", str(self.ca[0]), "--cert", str(own[0]), "--key", str(own[1]), "me")
        self.assertEqual((status, out.strip()), (0, "you said: me"), err)
        status, _, err = side.command("send", "--url", url, "--ca-file", str(self.ca[0]), "me")
        self.assertEqual(status, 1)


class Files(Tls):
    def test_a_renewed_certificate_is_taken_up(self):
        side = self.tls_sidecar()
        with contextlib.closing(self.connection(side)) as old:
            old.request("GET", "/.well-known/agent-card.json")
            old.getresponse().read()
            self.assertEqual(self.server_name(side), "server")
            new = self.certificate("renewed", signer="ca", days="5")
            for source, target in zip(new, self.server):
                shutil.move(source, target)
            side.wait_line("certificate of CN=renewed, valid until", timeout=60)
            side.wait_line(r"CN=renewed in .* expires on .*\(\d days left\); renew it", timeout=60)
            self.assertEqual(self.server_name(side), "renewed")
            old.request("GET", "/.well-known/agent-card.json")
            self.assertEqual(old.getresponse().status, 200)
        status, out, _ = side.command("status")
        self.assertEqual(status, 0)
        self.assertIn("https, certificate of CN=renewed, valid until", out)
        left = side.metrics()["molecule_sidecar_tls_certificate_not_after_seconds"] - ssl.cert_time_to_seconds(self.end_of(self.server[0]))
        self.assertEqual(left, 0)

    def end_of(self, cert):
        r = subprocess.run(["openssl", "x509", "-in", cert, "-noout", "-enddate"], check=True, capture_output=True, text=True)
        return r.stdout.strip().partition("=")[2]

    def test_a_broken_renewal_keeps_the_old_one(self):
        side = self.tls_sidecar()
        shutil.move(self.certificate("other", signer="ca")[1], self.server[1])
        line = side.wait_line("going on with those from before", timeout=60)
        self.assertRegex(line, r"listen\.tls_key: the key in .*server\.key does not belong to the certificate in .*server\.crt")
        self.assertEqual(self.server_name(side), "server")
        self.assertIn("a newer one did not load", side.command("status")[1])

    def test_check_config_says_what_is_wrong(self):
        cert, key = self.server
        base = [harness.SIDECAR, "check-config", "--platform-enabled", "false"]

        def check(*flags):
            r = subprocess.run([*base, *map(str, flags)], env=harness.clean_environment(self.dir), capture_output=True, text=True, timeout=60)
            return r.returncode, r.stderr

        self.assertEqual(check("--listen-tls-cert", cert, "--listen-tls-key", key), (0, ""))
        self.run_quietly("openssl", "pkey", "-in", key, "-aes128", "-passout", "pass:x", "-out", self.dir / "locked.key")
        status, err = check("--listen-tls-cert", cert, "--listen-tls-key", self.dir / "locked.key")
        self.assertEqual(status, 2)
        self.assertIn("is encrypted", err)
        status, err = check("--listen-tls-cert", cert)
        self.assertEqual(status, 2)
        self.assertIn("go together", err)
        key.chmod(0o644)
        status, err = check("--listen-tls-cert", cert, "--listen-tls-key", key)
        self.assertEqual(status, 0)
        self.assertIn("chmod 0600", err)


if __name__ == "__main__":
    unittest.main()
