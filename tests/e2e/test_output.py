"""The agent's stdout and stderr: passed through, or wrapped into lines of the log (log.child)."""
import json
import os
import re
import unittest

import harness
from harness import eventually, python

SH = "/bin/sh"
WRAP = ("--log-child", "wrap", "--log-format", "json", "--restart-policy", "never")


def wrapped(lines):
    """[(stream, text, the whole object)] of the agent's lines."""
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return [(o["stream"], o["msg"], o) for o in found if o["module"] == "output" and "stream" in o]


class Pass(harness.Case):
    def test_nothing_is_touched(self):
        side = self.sidecar(None, "--restart-policy", "never", command=[SH, "-c", r"printf 'a\tb\n{}'; printf 'to err\n' >&2"])
        self.assertEqual(side.wait_exit(), 0)
        self.assertEqual(side.out, ["a\tb", "{}"])
        self.assertIn("to err", side.err)


class Wrap(harness.Case):
    def lines_of(self, command, *flags, status=0):
        side = self.sidecar(None, *WRAP, *flags, command=command)
        self.assertEqual(side.wait_exit(), status)
        self.assertEqual(side.out, [], "one log, on stderr")
        return wrapped(side.err), side

    def test_lines_carry_stream_pid_and_time(self):
        got, side = self.lines_of([SH, "-c", "echo one; echo two >&2; echo $$"])
        self.assertEqual([m for s, m, _ in got if s == "stderr"], ["two"])
        one, pid = [m for s, m, _ in got if s == "stdout"]
        self.assertEqual(one, "one")
        for _, _, o in got:
            self.assertEqual((o["pid"], o["level"]), (int(pid), "info"))
            self.assertRegex(o["time"], r"^20\d\d-.*Z$")
            self.assertNotIn("part", o)

    def test_text_format(self):
        side = self.sidecar(None, "--log-child", "wrap", "--log-format", "text", "--restart-policy", "never",
                            command=[SH, "-c", r"printf 'hello \033[31m\n'"])
        self.assertEqual(side.wait_exit(), 0)
        self.assertTrue(any(re.search(r"info    output: hello \\x1B\[31m stream=stdout pid=\d+$", line) for line in side.err), side.text())

    def test_a_json_line_of_the_agent_stays_a_string(self):
        text = '{"level":"error","msg":"mine","stream":"none"}'
        got, _ = self.lines_of([SH, "-c", f"echo '{text}'"])
        self.assertEqual([m for _, m, _ in got], [text])

    def test_bad_utf8_nul_and_blank_lines(self):
        got, _ = self.lines_of(python("import os; os.write(1, b'a\\0b\\n\\n\\xff\\xc3\\nk\\xc3\\xa4se\\r\\n')"))
        self.assertEqual([m for _, m, _ in got], ["a\0b", "", "\ufffd\ufffd", "käse\r"])

    def test_long_lines_come_in_parts(self):
        got, _ = self.lines_of(python("import os; os.write(1, b'x' * 9000 + b'\\nshort\\n')"))
        parts = len(got) - 1  # 3, or 4 when what was read first had to wait for the rest: it is told as it is then
        self.assertIn(parts, (3, 4))
        self.assertEqual([o.get("part") for _, _, o in got], [*range(1, parts + 1), None])
        self.assertEqual([o.get("more") for _, _, o in got], [1] * (parts - 1) + [0, None])
        self.assertEqual("".join(m for _, m, o in got if "part" in o), "x" * 9000)
        self.assertFalse(any("cut" in o for _, _, o in got))

    def test_last_words_come_before_the_end_is_told(self):
        side = self.sidecar(None, *WRAP, command=python("import sys; print('last words', end='', flush=True); sys.exit('no newline')"))
        self.assertEqual(side.wait_exit(), 1)
        where = [i for i, line in enumerate(side.err) if "last words" in line or "no newline" in line]
        end = next(i for i, line in enumerate(side.err) if "exited with status 1" in line)
        self.assertEqual(len(where), 2)
        self.assertLess(max(where), end)

    def test_a_prompt_is_told_while_it_waits(self):
        side = self.sidecar(None, *WRAP, command=python("import signal; print('name? ', end='', flush=True); signal.pause()"))
        line = json.loads(side.wait_line(r"name\? "))
        self.assertEqual((line["part"], line["more"]), (1, 1))
        self.assertEqual(side.terminate(), 0)
        self.assertEqual([(m, o["part"], o["more"]) for _, m, o in wrapped(side.err)], [("name? ", 1, 1), ("", 2, 0)])

    def test_log_level_is_for_our_own_lines(self):
        got, side = self.lines_of([SH, "-c", "echo here"], "--log-level", "error")
        self.assertEqual([m for _, m, _ in got], ["here"])
        self.assertNotIn('"level":"warning"', side.text())

    def test_counted(self):
        side = self.sidecar(None, *WRAP, command=[SH, "-c", "echo a; echo b >&2; exec sleep 1000"])
        eventually(lambda: side.metrics()["molecule_sidecar_agent_output_lines_total"] == 2, "two lines")
        self.assertEqual(side.metrics()["molecule_sidecar_agent_output_dropped_lines_total"], 0)

    def test_who_holds_the_pipe_does_not_hold_us(self):
        got, _ = self.lines_of([SH, "-c", "(trap '' TERM; exec sleep 1000) & echo bye; exit 3"], status=3)
        self.assertEqual([m for _, m, _ in got], ["bye"])

    def test_a_daemon_goes_on_writing_across_a_restart(self):
        side = self.sidecar(None, "--log-child", "wrap", "--log-format", "json", "--restart-backoff", "50ms",
                            command=python(DAEMON, str(self.dir / "second")))
        first = json.loads(side.wait_line("first run"))["pid"]
        second = json.loads(side.wait_line("second run"))["pid"]
        self.assertNotEqual(first, second)
        after = len(side.lines)
        side.wait_line("tick", after=after)
        side.wait_line("tick", after=after + 5)


# The first run leaves a daemon behind that writes for ever; it has left the group when the agent ends, whose group is told to end then.
DAEMON = """
import os, select, signal, sys
if os.path.exists(sys.argv[1]):
    print('second run', flush=True)
    signal.pause()
open(sys.argv[1], 'w').close()
print('first run', flush=True)
told, tell = os.pipe()
if os.fork() == 0:
    os.setsid()
    os.write(tell, b'x')
    while True:
        os.write(1, b'tick\\n')
        select.select([], [], [], 0.05)
os.read(told, 1)
sys.exit(7)
"""

# Many lines, then a file that says that none of them was waited for.
FLOOD = """
import os, signal, sys
for i in range(int(sys.argv[2])):
    os.write(1, b'line %d %s\\n' % (i, b'x' * 80))
open(sys.argv[1], 'w').close()
signal.pause()
"""


class SlowReader(harness.Case):
    LINES = 20000

    def test_the_agent_never_waits_and_no_line_is_lost_silently(self):
        fifo, done = self.dir / "err", self.dir / "done"
        os.mkfifo(fifo)
        reader = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        side = self.sidecar(None, *WRAP, command=python(FLOOD, str(done), str(self.LINES)),
                            program=[SH, "-c", f'exec "$0" "$@" 2>{fifo}', harness.SIDECAR])
        eventually(done.exists, "the agent has written it all, although nobody reads", timeout=60)
        eventually(lambda: side.metrics()["molecule_sidecar_agent_output_dropped_lines_total"] > 0, "lines were dropped")
        text = b""
        lines, dropped = [], []

        def all_told():
            nonlocal text
            try:
                while True:
                    text += os.read(reader, 1 << 20)
            except BlockingIOError:
                pass
            objects = [json.loads(line) for line in text[:text.rfind(b"\n") + 1].splitlines()]
            lines[:] = [o["msg"] for o in objects if "stream" in o]
            dropped[:] = [o["dropped"] for o in objects if o["module"] == "output" and "dropped" in o]
            return len(lines) + sum(dropped) == self.LINES

        eventually(all_told, "each line is there or counted", timeout=60)
        numbers = [int(line.split()[1]) for line in lines]
        self.assertEqual(numbers, sorted(numbers))
        self.assertGreater(len(dropped), 0)
        metrics = side.metrics()
        self.assertEqual(metrics["molecule_sidecar_agent_output_dropped_lines_total"], sum(dropped))
        self.assertEqual(metrics["molecule_sidecar_log_lines_dropped_total"], 0, "our own lines found room")


if __name__ == "__main__":
    unittest.main()
