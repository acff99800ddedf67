"""Programs that attack through a volume at /data. Each prints what the kernel allowed."""

import errno
import json
import os
import socket
import stat
import sys
import time

HERE = "/data"


def outcome(do):
    try:
        do()
    except (OSError, ValueError) as error:
        number = getattr(error, "errno", None)
        return errno.errorcode.get(number, type(error).__name__)
    return "worked"


def mounted(_):
    return {"mounted": os.path.ismount(HERE)}


def plant(_):
    """Create links out of the volume, special files, odd names and nested folders."""
    for name in os.listdir(HERE):
        outcome(lambda name=name: os.unlink(f"{HERE}/{name}"))
    os.symlink("/etc", f"{HERE}/etc")
    os.symlink("/etc/passwd", f"{HERE}/passwd")
    os.symlink("../../../../etc/shadow", f"{HERE}/shadow")
    os.symlink("/proc/self/root", f"{HERE}/root")
    os.symlink("loop", f"{HERE}/loop")
    os.mkfifo(f"{HERE}/pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{HERE}/socket")
    for name in (b"\xff\xfe", b"-rf", b"new\nline", b"<script>", b"%2e%2e", b"a" * 255, b"..."):
        with open(os.fsencode(HERE) + b"/" + name, "wb") as file:
            file.write(b"x")
    with open(f"{HERE}/file", "w") as file:
        file.write("mine")
    os.link(f"{HERE}/file", f"{HERE}/hard")
    os.chmod(f"{HERE}/file", 0o4777)
    place = os.open(HERE, os.O_RDONLY)
    for _ in range(200):
        os.mkdir("deep", dir_fd=place)
        inner = os.open("deep", os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = inner
    tries = {
        "a disk": lambda: os.mknod(f"{HERE}/disk", 0o666 | stat.S_IFBLK, os.makedev(7, 0)),
        "memory": lambda: os.mknod(f"{HERE}/memory", 0o666 | stat.S_IFCHR, os.makedev(1, 1)),
        "a hard link to the image": lambda: os.link("/etc/passwd", f"{HERE}/hard-passwd"),
        "an owner": lambda: os.chown(f"{HERE}/file", 0, 0),
        "the top renamed": lambda: os.rename(HERE, "/moved"),
        "a name above": lambda: os.stat(f"{HERE}/../lost+found"),
        "a trusted attribute": lambda: os.setxattr(f"{HERE}/file", "trusted.overlay.opaque", b"y"),
        "a capability": lambda: os.setxattr(f"{HERE}/file", "security.capability", bytes(20)),
    }
    return {name: outcome(do) for name, do in tries.items()}


def fill(seconds):
    """Write until the volume is full, and report how much was written."""
    ends, count = time.monotonic() + seconds, 0
    with open(f"{HERE}/big", "wb", buffering=0) as file:
        while time.monotonic() < ends:
            try:
                file.write(b"x" * (1 << 20))
            except OSError as error:
                return {"count": count, "stopped": errno.errorcode[error.errno]}
            count += 1
    return {"count": count, "stopped": "time"}


def entries(seconds):
    """Create files until the volume has no room for their names."""
    outcome(lambda: os.unlink(f"{HERE}/big"))
    os.makedirs(f"{HERE}/many", exist_ok=True)
    ends = time.monotonic() + seconds
    for count in range(1_000_000):
        if time.monotonic() > ends:
            return {"count": count, "stopped": "time"}
        why = outcome(lambda count=count: os.close(os.open(f"{HERE}/many/{count}", os.O_CREAT)))
        if why != "worked":
            return {"count": count, "stopped": why}
    return {"count": 1_000_000, "stopped": "never"}


print(json.dumps(globals()[sys.argv[2]](int(sys.argv[1]))))
