"""Programs that use up one kind of resource for some seconds.

Each function ends with the amount that it got and the error that stopped it.
"""

import ctypes
import errno
import json
import os
import select
import socket
import struct
import sys
import threading
import time


def until(seconds, step):
    """Call `step` until the time is over or the kernel refuses.

    Return (successful calls, the refusal).
    """
    ends, count = time.monotonic() + seconds, 0
    while time.monotonic() < ends:
        try:
            step()
        except (OSError, MemoryError, RuntimeError) as error:
            number = getattr(error, "errno", None)
            return count, errno.errorcode.get(number, type(error).__name__)
        count += 1
    return count, "time"


def hold(seconds, result):
    time.sleep(max(0, seconds))
    return result


def fork(seconds):
    def step():
        if os.fork() == 0:
            time.sleep(seconds + 2)
            os._exit(0)

    return hold(seconds / 2, until(seconds / 2, step))


def threads(seconds):
    return hold(
        seconds / 2,
        until(
            seconds / 2,
            lambda: threading.Thread(target=time.sleep, args=(seconds,), daemon=True).start(),
        ),
    )


def memory(seconds):
    hoard = []
    return until(seconds, lambda: hoard.append(b"x" * (1 << 20)))


def fill(folder, size):
    def filler(seconds):
        number = iter(range(10**9))

        def step():
            with open(f"{folder}/bomb-{next(number)}", "wb", buffering=0) as file:
                if file.write(b"x" * size) < size:
                    raise OSError(errno.ENOSPC, "full")

        result = until(seconds, step)
        for name in os.listdir(folder):
            if name.startswith("bomb-"):
                os.unlink(f"{folder}/{name}")
        return result

    return filler


def descriptors(seconds):
    hoard = []
    return hold(
        seconds / 2, until(seconds / 2, lambda: hoard.append(os.open("/dev/null", os.O_RDONLY)))
    )


def pipes(seconds):
    """Use kernel memory: pipes filled with 64 KiB each."""
    hoard = []

    def step():
        reader, writer = os.pipe()
        hoard.extend((reader, writer))
        os.write(writer, b"x" * 65536)

    return hold(seconds / 2, until(seconds / 2, step))


def dentries(seconds):
    """Look up names that do not exist: the kernel keeps an entry for each."""
    number = iter(range(10**12))

    def step():
        for _ in range(1000):
            os.path.lexists(f"/tmp/no-{next(number)}")

    return until(seconds, step)


def log(seconds):
    line = b"x" * 1000 + b"\n"
    out = int(os.environ["CONSOLE"])
    return until(seconds, lambda: os.write(out, line * 50))


def page_cache(seconds):
    """Write 64 MiB repeatedly, and force them to the disk."""
    file = os.open("cache", os.O_RDWR | os.O_CREAT, 0o600)

    def step():
        for block in range(64):
            os.pwrite(file, os.urandom(4096) * 256, block << 20)
        os.fsync(file)

    return until(seconds, step)


def connections(seconds):
    """Open at most 2,000 connections to a closed port of its own gateway."""
    hoard, left = [], iter(range(2000))

    def step():
        if next(left, None) is None:
            raise RuntimeError
        attempt = socket.socket()
        attempt.setblocking(False)
        attempt.connect_ex((gateway(), 9))
        hoard.append(attempt)

    return until(seconds, step)


def datagrams(seconds):
    """Create entries of connection tracking: datagrams to at most 20,000 ports of its own
    gateway.
    """
    ports = iter(range(10_000, 30_000))
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def step():
        port = next(ports, None)
        if port is None:
            raise RuntimeError
        try:
            sender.sendto(b"x", (gateway(), port))
        except OSError as error:
            if error.errno not in {errno.EPERM, errno.ECONNREFUSED}:
                raise

    return until(seconds, step)


def names(seconds):
    """Send at most 3,000 queries to its name server."""
    with open("/etc/resolv.conf") as file:
        server = next(line.split()[1] for line in file if line.startswith("nameserver"))
    asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asker.setblocking(False)
    numbers, answered = iter(range(3000)), 0

    def step():
        nonlocal answered
        number = next(numbers, None)
        if number is None:
            raise RuntimeError
        label = f"x{number}".encode()
        try:
            asker.sendto(
                struct.pack(">HHHHHH", number, 0x100, 1, 0, 0, 0)
                + bytes([len(label)])
                + label
                + b"\7invalid\0\0\1\0\1",
                (server, 53),
            )
        except OSError as error:
            if error.errno not in {errno.EPERM, errno.EAGAIN}:
                raise
        while select.select([asker], [], [], 0)[0]:
            asker.recv(4096)
            answered += 1

    count, stopped = until(seconds, step)
    return count, f"{stopped}, {answered} answered"


def spin(seconds):
    """Start 60 processes that compute."""
    children = []
    for _ in range(60):
        try:
            pid = os.fork()
        except OSError:
            break
        if pid == 0:
            ends = time.monotonic() + seconds
            while time.monotonic() < ends:
                pass
            os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    return len(children), "time"


def sleepers(seconds):
    """Start 100 processes that wake twenty thousand times a second."""
    nap, ends, children = struct.pack("qq", 0, 50_000), time.monotonic() + seconds, 0
    libc = ctypes.CDLL(None)
    for _ in range(100):
        try:
            pid = os.fork()
        except OSError:
            break
        if pid == 0:
            while time.monotonic() < ends:
                libc.nanosleep(nap, None)
            os._exit(0)
        children += 1
    time.sleep(seconds)
    return children, "time"


def gateway():
    with open("/proc/net/route") as file:
        for line in file:
            fields = line.split()
            if fields[1] == "00000000":
                return socket.inet_ntoa(struct.pack("<I", int(fields[2], 16)))
    return "127.0.0.1"


BOMBS = {
    "fork": fork, "threads": threads, "memory": memory, "tmpfs": fill("/dev/shm", 1 << 20),
    "disk": fill(".", 1 << 20),
    "inodes": fill(".", 1), "descriptors": descriptors, "pipes": pipes, "dentries": dentries,
    "log": log, "page-cache": page_cache,
    "connections": connections, "datagrams": datagrams, "names": names, "spin": spin,
    "sleepers": sleepers,
}  # fmt: skip

if __name__ == "__main__":
    name = sys.argv[2] if len(sys.argv) > 2 else os.path.basename(sys.argv[0]).removesuffix(".py")
    got, stopped = BOMBS[name](float(sys.argv[1]))
    print(json.dumps({"got": got, "stopped": stopped}), flush=True)
    os._exit(0)
