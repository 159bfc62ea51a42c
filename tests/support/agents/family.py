"""An agent of many kinds: `family.py orphans` makes five that outlive their parents briefly, `family.py child` one that stays,
`family.py signals` tells which signals it gets, `family.py slow GO FILE` becomes FILE (a Python agent) when GO is there, `family.py ignore` ignores TERM, `family.py code N` ends with N on TERM."""
import os
import runpy
import signal
import sys
import time


def orphans():
    for _ in range(5):
        if os.fork() == 0:
            if os.fork() == 0:
                time.sleep(0.2)
            os._exit(0)
    for _ in range(5):
        os.wait()
    print("forked", flush=True)


def child():
    pid = os.fork()
    if pid:
        print("child", pid, flush=True)


def signals():
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGWINCH):
        signal.signal(number, lambda n, _: os.write(1, f"got {signal.Signals(n).name}\n".encode()))
    print("up", flush=True)


def ignore():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("up", flush=True)


def code():
    signal.signal(signal.SIGTERM, lambda *_: os._exit(int(sys.argv[2])))
    print("up", flush=True)


def slow():
    while not os.path.exists(sys.argv[2]):
        time.sleep(0.05)
    file = sys.argv[3]
    sys.argv = [file]
    runpy.run_path(file, run_name="__main__")


globals()[sys.argv[1]]()
while True:
    time.sleep(0.5)  # a signal that comes just before a pause() would not end it, and its handler would not be called
