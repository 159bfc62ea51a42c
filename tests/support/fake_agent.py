"""An agent that records every byte of every connection and answers with the bytes it is told. Threads of the test's own process.

    agent = Agent(path)                        listens; every request gets OK until something else is scripted
    agent.script([b"HTTP/1.1 200", READ, b" OK\\r\\n..."], [CLOSE])    what the next two requests get
    agent.requests                             whole requests in order of arrival: .link and a wire.Message
    agent.partials()                           what came and is no whole request
    agent.forget()                             between two rows of a table

An answer is bytes, or a list of steps: bytes; READ (the sidecar has read all so far); GO (the test has called go()); SHUT, CLOSE.
`Answer(steps, at="head")` is given when the request's head is there; its body stays unread, so that CLOSE is a reset.
Requests for PROBE, the sidecar's own question whether we live, are answered and forgotten.
"""
import array
import contextlib
import fcntl
import select
import socket
import termios
import threading
import time

import harness
import wire

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PROBE = b"/probe-of-the-sidecar"
READ, GO, SHUT, CLOSE = "READ", "GO", "SHUT", "CLOSE"


class Answer:
    def __init__(self, steps, at="whole"):
        self.steps = [steps] if isinstance(steps, (bytes, str)) else list(steps)
        self.at = at
        self.going = None  # the agent's, when it was scripted


class Link:
    """One connection of the sidecar to us."""

    def __init__(self, agent, s):
        self.agent, self.s = agent, s
        self.raw = b""
        self.taken = 0           # bytes of raw that are whole requests
        self.is_answered = False  # the request that is coming got its answer at its head
        self.is_over = False     # the sidecar has ended it, or we have

    def send(self, data):
        with contextlib.suppress(OSError):
            self.s.sendall(data)

    def unread(self):
        """Bytes that the sidecar has sent and we have not taken."""
        waiting = array.array("i", [0])
        if not self.is_over:
            fcntl.ioctl(self.s, termios.FIONREAD, waiting)
        return waiting[0]

    def hang_up(self):
        """For the test; our thread closes it when it sees that."""
        with contextlib.suppress(OSError):
            self.s.shutdown(socket.SHUT_RDWR)

    def close(self):  # under agent.news, by the thread that serves it
        self.is_over = True
        self.s.close()


class Agent:
    def __init__(self, path):
        self.news = threading.Condition()  # guards all that follows; held while bytes are taken and looked at, not while answering
        self.requests, self.links, self.answers = [], [], []
        self.answering = 0
        self.going = threading.Semaphore(0)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(256)
        self.is_ending = False
        threading.Thread(target=self._accept, daemon=True).start()

    # ---- for the test

    def script(self, *answers):
        with self.news:
            answers = [a if isinstance(a, Answer) else Answer(a) for a in answers]
            for a in answers:
                a.going = self.going
            self.answers += answers

    def go(self):
        self.going.release()

    def wait(self, condition, what):
        """Until condition(self) holds, looked at whenever something happened."""
        end = time.monotonic() + harness.PATIENCE
        with self.news:
            while not condition(self):
                left = end - time.monotonic()
                assert left > 0, f"the agent waited in vain for: {what}; it has {self.requests} and {self._partials()}"
                self.news.wait(min(left, 0.05))
            return self.requests

    def wait_requests(self, count):
        return self.wait(lambda a: len(a.requests) >= count, f"{count} requests")

    def wait_partial(self, ending):
        """Until the beginning of a request has come, up to these bytes; its link."""
        found = []

        def has_come(a):
            found[:] = [x for x in a.links if x.raw[x.taken:].endswith(ending)]  # now: the next bytes may be here a moment later
            return found
        self.wait(has_come, f"...{ending!r}")
        return found[0]

    def wait_over(self, link):
        self.wait(lambda a: link.is_over, "the end of the connection")

    def settle(self):
        """All that the sidecar has sent by now is recorded; what is no whole request lies on connections that it has ended."""
        self.wait(Agent._is_quiet, "silence")
        self.wait(lambda a: all(x.is_over or x.taken == len(x.raw) for x in a.links), "the end of a connection with half a request")

    def wait_said(self):
        """Until all that is to be sent has been sent."""
        self.wait(lambda a: not a.answering, "the end of an answer")

    def partials(self):
        with self.news:
            return self._partials()

    def forget(self):
        self.settle()
        with self.news:
            self.links = [x for x in self.links if not x.is_over]
            self.requests, self.answers = [], []
            self._let_go()

    def stop(self):
        with self.news:
            self.is_ending = True
            self._let_go()
            self.listener.shutdown(socket.SHUT_RDWR)
            for link in self.links:
                link.hang_up()

    # ---- inside

    def _let_go(self):
        """Answers that wait for a go() that will not come."""
        self.going.release(1000)
        self.going = threading.Semaphore(0)

    def _partials(self):
        return [x.raw[x.taken:] for x in self.links if x.taken != len(x.raw)]

    def _is_quiet(self):
        if select.select([self.listener], [], [], 0)[0]:
            return False
        return not any(link.unread() for link in self.links)

    def _accept(self):
        with self.listener, contextlib.suppress(OSError, ValueError):
            while True:
                select.select([self.listener], [], [])
                with self.news:
                    link = Link(self, self.listener.accept()[0])
                    self.links.append(link)
                threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link):
        with contextlib.suppress(OSError, ValueError):
            while not self.is_ending and not link.is_over:
                select.select([link.s], [], [])
                with self.news:
                    more = link.s.recv(1 << 18)
                    link.raw += more
                    link.is_over |= not more
                    todo = self._look(link)
                    self.answering += len(todo)
                    self.news.notify_all()
                for answer in todo:
                    with contextlib.suppress(OSError):
                        self._answer(link, answer)
                    with self.news:
                        self.answering -= 1
                        self.news.notify_all()
        with self.news:
            link.close()
            self.news.notify_all()

    def _look(self, link):
        """Whole requests are noted; what is to be answered now is returned."""
        todo = []
        while link.taken < len(link.raw):
            found = wire.take(link.raw[link.taken:], False)
            if found:
                message, used = found
                link.taken += used
                message.link = link
                if message.first.split(b" ")[1] == PROBE:
                    todo.append(Answer(OK))
                    continue
                self.requests.append(message)
                if not link.is_answered:
                    todo.append(self._next())
                link.is_answered = False
                continue
            if not link.is_answered and b"\r\n\r\n" in link.raw[link.taken:] and self.answers and self.answers[0].at == "head":
                link.is_answered = True
                todo.append(self._next())
            break
        return todo

    def _next(self):
        return self.answers.pop(0) if self.answers else Answer(OK)

    def _answer(self, link, answer):
        for step in answer.steps:
            if step is READ:
                wire.wait_read(link.s)
            elif step is GO:
                answer.going.acquire()
            elif step is SHUT:
                link.s.shutdown(socket.SHUT_WR)
            elif step is CLOSE:
                with self.news:
                    link.close()
                    self.news.notify_all()
                return
            else:
                link.s.sendall(step)
