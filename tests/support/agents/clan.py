"""An agent with a clan. `clan.py family` makes one descendant of each kind that others lose, `clan.py storm N` forks N times as fast
as it can, every process in a session of its own, deaf to TERM, half of the parents gone; `clan.py orphans N` leaves N orphans that
end at once; `clan.py stubborn` has one descendant that ignores TERM. The agent itself dies of TERM."""
import ctypes
import os
import signal
import sys
import time

LIFE_S = 120  # what a failed test leaves behind ends by itself
LOOK_S = 0.5  # a signal that comes just before a pause() would not end it, and its handler would not be called


def name(text):
    ctypes.CDLL(None).prctl(15, text.encode(), 0, 0, 0)  # PR_SET_NAME


def born(text, deaf=False):
    """Becomes a member, tells so, and stays."""
    signal.alarm(LIFE_S)
    name(text)
    signal.signal(signal.SIGTERM, signal.SIG_IGN if deaf else lambda *_: (os.write(1, f"{text} got TERM\n".encode()), os._exit(0)))
    os.write(1, f"born {text}\n".encode())
    while True:
        time.sleep(LOOK_S)


def daemonise(text, deaf=False):
    """The classic way: fork, setsid, fork."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            born(text, deaf)
        os._exit(0)
    os.wait()


def family():
    daemonise("daemon")
    daemonise("deaf-daemon", deaf=True)
    if os.fork() == 0:  # stopped, in a group of its own
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b"stopped got TERM\n"), os._exit(0)))
        signal.alarm(LIFE_S)
        name("stopped")
        os.write(1, b"born stopped\n")
        os.kill(os.getpid(), signal.SIGSTOP)
        while True:
            time.sleep(LOOK_S)
    if os.fork() == 0:  # a deaf parent that lives, and its child, each in a session of its own
        os.setsid()
        if os.fork() == 0:
            os.setsid()
            born("grandchild")
        born("deaf-parent", deaf=True)


def storm():
    seeds, fill = os.pipe()
    os.write(fill, b"es" * (int(sys.argv[2]) // 2))
    os.close(fill)
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.alarm(LIFE_S)
        name("storm")
        while seed := os.read(seeds, 1):
            if os.fork() == 0:
                os.setsid()
                signal.alarm(LIFE_S)
            elif seed == b"e":
                os._exit(0)
        while True:
            signal.pause()
    print("storm", flush=True)


def orphans():
    gate, key = os.pipe()
    for i in range(int(sys.argv[2])):
        if os.fork() == 0:
            if os.fork() == 0:
                os.close(key)
                name("litter" if i % 4 else "chaff")
                os.read(gate, 1)
            os._exit(0)
        os.wait()
    print("forked", flush=True)
    os.close(key)


def stubborn():
    daemonise("deaf-daemon", deaf=True)


signal.signal(signal.SIGTERM, signal.SIG_DFL)
globals()[sys.argv[1]]()
while True:
    time.sleep(1000)
