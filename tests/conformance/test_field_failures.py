"""What gateways in front of A2A agents have broken, in the order of the list (A section 11): each is a test here, or says where it is.

    1  A2A-Version dropped                     here
    2  A2A-Extensions echo dropped             here
    3  card with an address nobody reaches     here; every spelling: unit proxy_card, maps_every_address_and_nothing_else
    4  path doubled, prefix cut in a segment   here; the pure function: unit proxy_route, strips_a_prefix_on_whole_segments_only
    5  only `url` rewritten                    here; extended cards are not rewritten (card.rewrite_extended is off), which is here too
    6  stale signatures, ETag, Content-Length  here; 304 for our own tag: unit proxy_local, an_unchanged_card_is_a_304
    7  307 for a slash loses the body          here
    8  stream gathered, compressed, renamed    here
    9  silent streams die                      here; every boundary: unit proxy_pump, comments_are_put_between_events_only
    10 disconnect cancels the task             here; at every moment: test_connections.py
    11 HTTP status in error.code               here
    12 {id}:subscribe taken for an id          here, as far as a forwarder goes (it has no ids); routing by it is for our own server mode
    13 60 s for an answer                      here
    14 100 kB for a body                       here
    15 id from number to string                here
    16 error of the start race cached          here; the last good card: unit proxy_local, the_last_good_card_answers_while_the_agent_cannot
    17 push URL not checked                    nothing to check in a forwarder, which reads no body; that bodies pass is in test_headers.py.
                                               The check is for our own server mode, which makes such calls itself
    18 %3A for a colon                         here; accepting both is for our own server mode
"""
import json
import re
import time
import unittest

import conformance
import fake_agent
import wire
from conformance import chunked, get, lines, post
from fake_agent import CLOSE, GO, Answer

PUBLIC = "https://pub.example/agents"
CARD = "/.well-known/agent-card.json"
OK = b"HTTP/1.1 200 OK"
SSE = b"Content-Type: text/event-stream"
TE = b"Transfer-Encoding: chunked"
CARD_S = 1.9  # an agent has 2 s for its card; who is slower than this, as agent, cannot tell what the sidecar made of it
JSON = b"Content-Type: application/json"


def answer(body, *fields, status=b"200 OK"):
    return lines(b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *fields) + body


def send(body, *fields, path=b"/"):
    return post(JSON, b"Content-Length: %d" % len(body), *fields, body=body) if path == b"/" else \
        get(JSON, b"Content-Length: %d" % len(body), *fields, line=b"POST " + path + b" HTTP/1.1") + body


class FieldFailures(conformance.Suite):
    FLAGS = ("--listen-public-url", PUBLIC, "--forward-strip-prefix", "/agents", "--forward-keepalive-interval", "100ms")

    def ask(self, request, *answers):
        """(what the client got, what the agent got)"""
        self.agent.forget()
        self.agent.script(*answers)
        with self.client() as c:
            c.send(request)
            got = c.answer()
        return got, self.agent.requests

    def in_time(self, ask, *args):
        """What ask(...) gives for a card, once we as the agent were not held up."""
        for _ in range(conformance.ATTEMPTS):
            began = time.monotonic()
            got = ask(*args)
            if time.monotonic() - began < CARD_S:
                return got
        self.fail(f"not once in {conformance.ATTEMPTS} times a card was fetched in time")

    def card(self, card, *fields, path=CARD, ask=()):
        body = json.dumps(card).encode()
        got, seen = self.in_time(self.ask, get(*ask, line=b"GET %s HTTP/1.1" % path.encode()), answer(body, JSON, *fields))
        self.assertEqual(len(seen), 1)
        return got, body

    def test_01_the_version_reaches_the_agent(self):
        for fields in ((b"A2A-Version: 1.0",), (b"a2a-version: 0.3",), (b"Connection: A2A-Version", b"A2A-Version: 1.0")):
            _, (seen,) = self.ask(send(b"{}", *fields))
            self.assertIn(b"\r\n" + fields[-1] + b"\r\n", seen.head)
        _, (seen,) = self.ask(get(line=b"GET /x?A2A-Version=1.0 HTTP/1.1"))
        self.assertIn(b"?A2A-Version=1.0 ", seen.first)

    def test_02_extensions_pass_in_both_directions(self):
        for name in (b"A2A-Extensions", b"X-A2A-Extensions"):
            field = name + b": https://e.example/x, https://e.example/y"
            got, (seen,) = self.ask(send(b"{}", field), answer(b"{}", field))
            self.assertIn(b"\r\n" + field + b"\r\n", seen.head)
            self.assertIn(b"\r\n" + field + b"\r\n", got.head)

    def test_03_a_card_has_the_public_address(self):
        for url in ("http://0.0.0.0:9999/", "http://[::]:9999", "http://10.1.2.3:8000/", "http://localhost/", "http://agents.example/"):
            got, _ = self.card({"name": "x", "url": url, "supportedInterfaces": [{"url": url + "rpc" * url.endswith("/")}]})
            card = json.loads(got.body)
            self.assertTrue(card["url"].startswith(PUBLIC), card)
            self.assertTrue(card["supportedInterfaces"][0]["url"].startswith(PUBLIC), card)
            self.assertNotIn(b"http://", got.body)

    def test_04_a_prefix_is_cut_once_and_on_whole_segments(self):
        for path, seen_path in ((b"/agents/x", b"/x"), (b"/agents", b"/"), (b"/agents?q", b"/?q"), (b"/agentsx/y", b"/agentsx/y"),
                                (b"/agents/agents/x", b"/agents/x"), (b"/x/agents/y", b"/x/agents/y"), (b"/agents%2Fx", b"/agents%2Fx"),
                                (b"/Agents/x", b"/Agents/x"), (b"/agents//x", b"//x")):
            _, (seen,) = self.ask(send(b"{}", path=path))
            self.assertEqual(seen.first, b"POST " + seen_path + b" HTTP/1.1")
        for path in (b"/rpc", b"/agents/rpc", b"/agentsx", b"/a/agents/"):  # what is published leads to the agent's own path
            got, _ = self.card({"url": "http://localhost:1" + path.decode()})
            published = json.loads(got.body)["url"].removeprefix("https://pub.example").encode()
            _, (seen,) = self.ask(send(b"{}", path=published))
            self.assertEqual((published, seen.first), (b"/agents" + path, b"POST " + path + b" HTTP/1.1"))

    def test_05_every_interface_is_rewritten(self):
        inside = "http://localhost:1/"
        got, _ = self.card({"url": inside, "additionalInterfaces": [{"url": inside + "a", "transport": "JSONRPC"}, {"url": inside + "b"}],
                            "supportedInterfaces": [{"url": inside + "c", "protocolBinding": "JSONRPC"}]})
        self.assertEqual([u.rstrip("/") for u in re.findall(r'https?://[^"]*', got.body.decode())], [PUBLIC + p for p in ("", "/a", "/b", "/c")])
        extended = json.dumps({"url": inside}).encode()
        for path in (b"/extendedAgentCard", b"/v1/card", b"/agent/authenticatedExtendedCard"):
            got, _ = self.in_time(self.ask, get(line=b"GET " + path + b" HTTP/1.1"), answer(extended, JSON))
            self.assertEqual(got.body, extended, "ours: passed as it is")

    def test_06_a_rewritten_card_has_nothing_stale(self):
        got, body = self.card({"url": "http://localhost:1/", "signatures": [{"protected": "e30", "signature": "x"}]}, b'ETag: "agents"',
                              b"Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT", b"Digest: x", ask=(b'If-None-Match: "agents"',))
        self.assertEqual(got.status, 200)
        self.assertNotIn(b"signatures", got.body)
        self.assertNotEqual(got.all(b"ETag"), [b'"agents"'])
        self.assertEqual((len(got.all(b"ETag")), got.all(b"Last-Modified"), got.all(b"Digest")), (1, [], []))
        self.assertEqual(got.all(b"Content-Length"), [b"%d" % len(got.body)])
        self.assertNotEqual(len(got.body), len(body))

    def test_07_a_slash_at_the_end_is_nobodys_business(self):
        for path in (b"/rpc", b"/rpc/", b"/rpc//", b"/agents/rpc/"):
            _, (seen,) = self.ask(send(b'{"id":1}', path=path))
            self.assertEqual((seen.first, seen.body), (b"POST " + path.removeprefix(b"/agents") + b" HTTP/1.1", b'{"id":1}'))
        got, seen = self.ask(send(b"{}", path=b"/rpc"), answer(b"", b"Location: /rpc/", status=b"307 x"))
        self.assertEqual((got.status, got.all(b"Location"), len(seen)), (307, [b"/rpc/"], 1), "the agent's own is the client's to follow")

    def test_08_events_pass_one_by_one_and_under_their_name(self):
        self.agent.script([lines(OK, SSE, TE, b"Cache-Control: no-cache"), GO, b"9\r\ndata: 1\n\n\r\n", GO, b"9\r\ndata: 2\n\n\r\n", GO,
                           b"0\r\n\r\n"])
        with self.client() as c:
            c.send(send(b"{}", b"Accept: text/event-stream", b"Accept-Encoding: gzip"))
            c.wait(b"\r\n\r\n")  # the head, before there is an event
            self.agent.go()
            c.wait(b"data: 1\n\n")  # the first event, before there is a second
            self.assertNotIn(b"data: 2", c.data)
            self.agent.go()
            c.wait(b"data: 2\n\n")
            self.agent.go()
            a = c.answer()
        self.assertEqual((a.all(b"Content-Type"), a.all(b"Content-Encoding"), a.framing), ([b"text/event-stream"], [], "chunked"))
        self.assertEqual(a.body.replace(b": keepalive\n\n", b""), b"data: 1\n\ndata: 2\n\n")

    def test_09_a_silent_stream_is_kept_alive_between_events_only(self):
        begin = lines(OK, SSE, TE)
        self.agent.script([begin + chunked(b"data: {\"a")[:-5], GO, chunked(b'":1}\n\n')],
                          [begin, GO, chunked(b"data: 2\n\n")])
        with self.client() as inside, self.client() as between:
            inside.send(send(b"{}"))
            inside.wait(b'{"a')
            between.send(send(b"{}"))
            for _ in range(4):  # so often the interval has passed for both
                between.wait(b": keepalive\n\n")
                head, _, rest = between.data.partition(b": keepalive\n\n")
                between.data = head + rest
            self.assertNotIn(b"keepalive", inside.data)
            self.agent.go()
            self.agent.go()
            self.assertEqual(inside.answer().body.partition(b"\n\n")[0], b'data: {"a":1}')

    def test_10_a_disconnect_is_no_cancel(self):
        self.agent.script([lines(OK, SSE, TE) + b"9\r\ndata: 1\n\n\r\n", GO])
        with self.client() as c:
            c.send(send(b"{}"))
            c.wait(b"data: 1")
        link = self.agent.requests[0].link
        self.agent.go()
        self.agent.wait_over(link)  # the agent is told by the end of the connection, and by nothing else
        got, seen = self.ask(send(b'{"method":"tasks/get"}'))
        self.assertEqual((got.status, len(seen)), (200, 1))

    def test_11_codes_and_statuses_are_not_mixed(self):
        for status in (b"200 OK", b"400 Bad Request", b"404 Not Found", b"500 Oops"):
            body = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32001,"message":"no such task"}}'
            got, _ = self.ask(send(b"{}"), answer(body, JSON, status=status))
            self.assertEqual((got.first, got.body), (b"HTTP/1.1 " + status, body))
        got, _ = self.ask(send(b'{"jsonrpc":"2.0","id":1,"method":"x"}'), [CLOSE])
        self.assertEqual((got.status, json.loads(got.body)["error"]["code"]), (502, -32603))

    def test_12_18_colons_pass_as_they_are_written(self):
        for path in (b"/v1/tasks/42:subscribe", b"/v1/tasks/42%3Asubscribe", b"/v1/tasks/42%3asubscribe", b"/message:send", b"/tenant/v1/tasks/a:b:cancel?x=:"):
            _, (seen,) = self.ask(send(b"{}", path=path))
            self.assertEqual(seen.first, b"POST " + path + b" HTTP/1.1")

    def test_13_an_answer_may_take_minutes(self):
        """The default, as the program tells it: ten minutes for the head, and no limit for streams."""
        status, out, err = self.side.command("check-config", "--platform-enabled", "false")
        self.assertEqual(status, 0, err)
        self.assertRegex(out, r"forward\.response_timeout += 10m +# default")

    def test_14_files_in_messages_pass(self):
        body = b'{"file":"' + b"QUJD" * 500_000 + b'"}'
        got, (seen,) = self.ask(send(body), Answer(answer(body, JSON)))
        self.assertEqual((seen.body == body, got.body == body), (True, True))

    def test_15_an_id_keeps_its_type(self):
        for rpc_id in (b"1", b'"1"', b"null", b"1.50", b"12345678901234567890", b'"\\u00e9"'):
            body = b'{"jsonrpc":"2.0","id":%s,"method":"x"}' % rpc_id
            got, (seen,) = self.ask(send(body), answer(body, JSON))
            self.assertEqual((seen.body, got.body), (body, body))
            got, _ = self.ask(send(body), [CLOSE])
            self.assertIn(b'"id":%s,' % rpc_id, got.body)

    def test_16_an_error_of_the_start_is_not_kept(self):
        directory = self.dir / "race"
        directory.mkdir()
        agent = fake_agent.Agent(directory / "agent")
        side = self.start_sidecar(directory, agent)
        try:
            with wire.Client(side.port) as c:
                def fetch(said):
                    agent.forget()
                    agent.script(said)
                    c.send(get(line=b"GET " + CARD.encode() + b" HTTP/1.1"))
                    return c.answer()

                for status, said in ((502, [CLOSE]), (502, answer(b"<html>", JSON)), (200, answer(b'{"url":"http://a/"}', JSON))):
                    got = self.in_time(fetch, said)
                    self.assertEqual((got.status == 200, got.status in (502, 503)), (status == 200, status != 200), got)
                    if status != 200:
                        self.assertNotIn(b"max-age", got.head)
        finally:
            self.assertEqual(side.terminate(), 0)
            side.end()
            agent.stop()


if __name__ == "__main__":
    unittest.main()
