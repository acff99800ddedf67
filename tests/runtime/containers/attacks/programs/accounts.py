"""Program that runs inside a container: take NUMBER of each object that the kernel counts per user,
and print how many it got.

    python3 - NUMBER

With a NUMBER of 0, the program takes all that are available and keeps them.
"""

import ctypes
import os
import signal
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)
wanted = int(sys.argv[1]) or 10**6


class Event(ctypes.Structure):
    """C structure sigevent (sigevent(7)); SIGEV_NONE is 1."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signo", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("rest", ctypes.c_char * 48),
    )


def inotify_instances(number: int) -> bool:
    return libc.inotify_init1(0) >= 0


def timers(number: int) -> bool:
    event = Event(value=None, signo=0, notify=1)
    return libc.timer_create(1, ctypes.byref(event), ctypes.byref(ctypes.c_void_p())) == 0


def message_queues(number: int) -> bool:
    return (
        libc.mq_open(f"/q{number}".encode(), os.O_CREAT | os.O_RDWR | os.O_EXCL, 0o600, None) >= 0
    )


def pending_signals(number: int) -> bool:
    return libc.sigqueue(os.getpid(), signal.SIGRTMIN + 3, ctypes.c_void_p(number)) == 0


def locked_memory(number: int) -> bool:
    """Lock one more MiB of System V shared memory (shmctl(2); SHM_LOCK is 11)."""
    segment = libc.shmget(0, 2**20, 0o600)
    return segment >= 0 and libc.shmctl(segment, 11, None) == 0


signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN + 3])
for take in (inotify_instances, message_queues, pending_signals, locked_memory, timers):
    taken = 0
    while taken < wanted and take(taken):
        taken += 1
    print(take.__name__, taken, flush=True)
print("ready", flush=True)
if not int(sys.argv[1]):
    time.sleep(1000)
