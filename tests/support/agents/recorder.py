"""An agent that writes down each signal it gets, in order: "got NUMBER CODE VALUE" (as siginfo has them). All are blocked and
waited for, so that none can be merged with another one by a handler that is slow. TERM ends it, after it was written down; with
`recorder.py N` it ends with status N."""
import ctypes
import os
import sys

libc = ctypes.CDLL(None, use_errno=True)


class Info(ctypes.Structure):
    _fields_ = [("signo", ctypes.c_int), ("errno", ctypes.c_int), ("code", ctypes.c_int), ("pad", ctypes.c_int), ("pid", ctypes.c_int),
                ("uid", ctypes.c_uint), ("value", ctypes.c_int), ("rest", ctypes.c_char * 100)]


everything = ctypes.create_string_buffer(128)
libc.sigfillset(everything)
libc.sigprocmask(0, everything, None)
os.write(1, b"up %d\n" % os.getpid())
info = Info()
while True:
    if libc.sigwaitinfo(everything, ctypes.byref(info)) > 0:
        os.write(1, b"got %d %d %d\n" % (info.signo, info.code, info.value if info.code == -1 else 0))
        if info.signo == 15:
            os._exit(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
