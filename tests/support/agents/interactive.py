"""An agent on a terminal. It says what it has, answers lines and tells its signals; words choose what else:
`plain` sets no handlers, `quiet` does not read. The lines "crash" and "130" end it with 9 and with 130.

Python calls a handler when a system call has ended: one that began just after the signal came does not end by it. Hence the alarm."""
import os
import signal
import sys
import time

words = sys.argv[1:]


def say(*what):
    os.write(1, (" ".join(str(w) for w in what) + "\n").encode())


def has_terminal():
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return "none"


def size():
    columns, rows = os.get_terminal_size(0)
    return f"{columns}x{rows}"


def on_signal(number, _):
    say("signal", signal.Signals(number).name, size() if number == signal.SIGWINCH else "")


if "plain" not in words:
    for number in (signal.SIGINT, signal.SIGWINCH, signal.SIGCONT, signal.SIGQUIT):
        signal.signal(number, on_signal)
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)
else:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
say("agent", os.getpid(), "foreground", has_terminal(), "size", size())
while "quiet" in words:
    time.sleep(0.1)  # pause() would sleep on over a signal that came just before it
pending = b""
while True:
    data = os.read(0, 1024)
    if not data:
        break
    pending += data
    while b"\n" in pending:
        line, pending = pending.split(b"\n", 1)
        if line == b"crash":
            os._exit(9)
        if line == b"130":
            os._exit(130)
        say("answer", line.decode(), "foreground", has_terminal())
