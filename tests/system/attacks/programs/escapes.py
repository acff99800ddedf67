"""Attempts to leave a container, printed as a JSON object: attempt -> "refused: WHY" or "worked".

A build step runs `escapes.py 0 root`.
"""

import ctypes
import errno
import json
import os
import platform
import socket
import stat
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
NUMBERS = {
    "x86_64": {
        "ptrace": 101,
        "syslog": 103,
        "pivot_root": 155,
        "settimeofday": 164,
        "mount": 165,
        "umount2": 166,
        "swapon": 167,
        "reboot": 169,
        "sethostname": 170,
        "iopl": 172,
        "init_module": 175,
        "quotactl": 179,
        "kexec_load": 246,
        "add_key": 248,
        "keyctl": 250,
        "unshare": 272,
        "perf_event_open": 298,
        "open_by_handle_at": 304,
        "clock_settime": 227,
        "setns": 308,
        "process_vm_readv": 310,
        "finit_module": 313,
        "bpf": 321,
        "userfaultfd": 323,
        "io_uring_setup": 425,
        "open_tree": 428,
        "fsopen": 430,
        "mount_setattr": 442,
        "acct": 163,
        "lookup_dcookie": 212,
        "name_to_handle_at": 303,
        "fanotify_init": 300,
    },
}
NUMBERS["aarch64"] = {
    "ptrace": 117, "syslog": 116, "pivot_root": 41, "settimeofday": 170, "mount": 40, "umount2": 39,
    "swapon": 224, "reboot": 142,
    "sethostname": 161, "init_module": 105, "quotactl": 60, "kexec_load": 104, "add_key": 217,
    "keyctl": 219, "unshare": 97,
    "perf_event_open": 241, "open_by_handle_at": 265, "clock_settime": 112, "setns": 268,
    "process_vm_readv": 270, "finit_module": 273,
    "bpf": 280, "userfaultfd": 282, "io_uring_setup": 425, "open_tree": 428, "fsopen": 430,
    "mount_setattr": 442, "acct": 89,
    "name_to_handle_at": 264, "fanotify_init": 262,
}  # fmt: skip


def call(name, *arguments):
    number = NUMBERS[platform.machine()].get(name)
    if number is None:
        raise OSError(errno.ENOSYS, name)
    result = LIBC.syscall(
        ctypes.c_long(number), *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments)
    )
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def read(path):
    with open(path, "rb") as file:
        if not file.read(1):
            raise OSError(errno.ENODATA, "empty")


def in_child(function):
    """Run an attempt that changes its caller in a child, whose exit code shows whether it
    worked.
    """

    def attempt():
        pid = os.fork()
        if pid == 0:
            try:
                function()
            except OSError as error:
                os._exit(min(error.errno or 255, 255))
            except BaseException:  # noqa: BLE001  # any failure is a refusal
                os._exit(255)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code < 0:
            raise OSError(errno.EPERM, f"killed by signal {-code}")
        if code:
            raise OSError(code, os.strerror(code))

    return attempt


def others():
    """Look for a process of another container: the host's init never has number 1 here."""
    with open("/proc/1/environ", "rb") as file:
        if b"SUPERVISOR_" in file.read() or os.path.exists("/proc/1/root/work"):
            return
    raise OSError(errno.ESRCH, "only own processes")


def device(path, number):
    os.mknod(path, 0o600 | stat.S_IFBLK, number)
    read(path)


def named(kind):
    def attempt():
        for line in open("/proc/net/unix").read().splitlines()[1:]:
            name = line.split()[-1]
            if name.startswith("@"):
                with socket.socket(socket.AF_UNIX) as peer:
                    peer.connect("\0" + name[1:])
                    return
        raise OSError(errno.ENOENT, kind)

    return attempt


def sight(path, *words):
    """Look for names of others' objects in a file."""

    def attempt():
        with open(path) as file:
            text = file.read()
        if not any(word in text for word in words):
            raise OSError(errno.ENODATA, "nothing of others")

    return attempt


def backing_files():
    for block in os.listdir("/sys/block"):
        path = f"/sys/block/{block}/loop/backing_file"
        if os.path.exists(path) and open(path).read().strip():
            return
    raise OSError(errno.ENOENT, "none is shown")


NEWNS, NEWUSER, NEWNET = 0x20000, 0x10000000, 0x40000000
TEXT = ctypes.create_string_buffer
ATTEMPTS = {
    "mount a tmpfs": lambda: call("mount", TEXT(b"none"), TEXT(b"/tmp"), TEXT(b"tmpfs"), 0, 0),
    "mount proc": lambda: call("mount", TEXT(b"proc"), TEXT(b"/tmp"), TEXT(b"proc"), 0, 0),
    "make / writable again": lambda: call(
        "mount", TEXT(b"none"), TEXT(b"/proc/sys"), 0, 0x20 | 0x1000, 0
    ),
    "unmount /proc": lambda: call("umount2", TEXT(b"/proc"), 2),
    "fsopen": lambda: call("fsopen", TEXT(b"tmpfs"), 0),
    "open_tree, copied": lambda: call("open_tree", -100, TEXT(b"/"), 1),
    "mount_setattr": lambda: call("mount_setattr", -100, TEXT(b"/"), 0, TEXT(32), 32),
    "a new user namespace": in_child(lambda: call("unshare", NEWUSER)),
    "a new mount namespace": in_child(lambda: call("unshare", NEWNS)),
    "a new network namespace": in_child(lambda: call("unshare", NEWNET)),
    "enter the namespace of process 1": in_child(
        lambda: call("setns", os.open("/proc/1/ns/user", os.O_RDONLY), NEWUSER)
    ),
    "pivot_root": lambda: call("pivot_root", TEXT(b"/"), TEXT(b"/tmp")),
    "processes of others": others,
    "core_pattern": lambda: write("/proc/sys/kernel/core_pattern", "|/tmp/x"),
    "modprobe path": lambda: write("/proc/sys/kernel/modprobe", "/tmp/x"),
    "a setting of the machine": lambda: write("/proc/sys/vm/overcommit_memory", "1"),
    "sysrq": lambda: write("/proc/sysrq-trigger", "h"),
    "release_agent": lambda: write("/sys/fs/cgroup/release_agent", "/tmp/x"),
    "a control group's limit": lambda: write("/sys/fs/cgroup/memory.max", "max"),
    "a new control group": lambda: os.mkdir("/sys/fs/cgroup/escape"),
    "leave the control group": lambda: write("/sys/fs/cgroup/cgroup.procs", str(os.getpid())),
    "uevent_helper": lambda: write("/sys/kernel/uevent_helper", "/tmp/x"),
    "a disk as a device node": lambda: device("/tmp/disk", os.makedev(8, 0)),
    "the first loop device": lambda: device("/tmp/loop", os.makedev(7, 0)),
    "kernel memory": lambda: read("/dev/mem"),
    "the kernel's log": lambda: read("/dev/kmsg"),
    "syslog": lambda: call("syslog", 3, TEXT(64), 64),
    "kcore": lambda: read("/proc/kcore"),
    "add a key": lambda: call("add_key", TEXT(b"user"), TEXT(b"x"), TEXT(b"x"), 1, -3),
    "keyctl": lambda: call("keyctl", 0, -3, 0),
    "bpf": lambda: call("bpf", 0, TEXT(128), 128),
    "perf": lambda: call(
        "perf_event_open", TEXT(bytes([0, 0, 0, 0, 128]) + bytes(123)), 0, -1, -1, 0
    ),
    "io_uring": lambda: call("io_uring_setup", 1, TEXT(120)),
    "userfaultfd": lambda: call("userfaultfd", 0),
    "load a module": lambda: call("init_module", TEXT(b"x"), 1, TEXT(b"")),
    "load a module by file": lambda: call("finit_module", 0, TEXT(b""), 0),
    "kexec": lambda: call("kexec_load", 0, 0, 0, 0),
    "reboot": lambda: call("reboot", 0xFEE1DEAD, 672274793, 0, 0),
    "swap": lambda: call("swapon", TEXT(b"/tmp/x"), 0),
    "accounting": lambda: call("acct", TEXT(b"/tmp/x")),
    "set the clock": lambda: call("clock_settime", 0, TEXT(16)),
    "open by handle": lambda: call(
        "open_by_handle_at", -100, TEXT(b"\x08\0\0\0\x01\0\0\0" + bytes(8)), 0
    ),
    "fanotify of a mount": lambda: call("fanotify_init", 0, 0),
    "ports of the processor": lambda: call("iopl", 3),
    "a raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
    "a packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3),
    "vsock": lambda: socket.socket(40, socket.SOCK_STREAM),
    "crypto sockets": lambda: socket.socket(38, socket.SOCK_SEQPACKET),
    "abstract sockets of others": named("abstract sockets"),
    "files of loop devices": backing_files,
    "disks of others in diskstats": sight("/proc/diskstats", "loop"),
    "partitions": sight("/proc/partitions", "loop"),
}
AS_APP = {
    "become root": in_child(lambda: os.setuid(0)),
    "give a file to root": lambda: (write("/tmp/owned", ""), os.chown("/tmp/owned", 0, 0)),
    "chroot": in_child(lambda: os.chroot("/tmp")),
    "write to /etc": lambda: write("/etc/passwd", "x"),
}


def main():
    found = {}
    root = sys.argv[2:] == ["root"]
    for name, attempt in {**ATTEMPTS, **({} if root else AS_APP)}.items():
        try:
            attempt()
        except Exception as error:  # noqa: BLE001  # any failure is a refusal
            number = getattr(error, "errno", None)
            found[name] = f"refused: {errno.errorcode.get(number, error)}"
        else:
            found[name] = "worked"
    print(json.dumps(found), flush=True)


main()
