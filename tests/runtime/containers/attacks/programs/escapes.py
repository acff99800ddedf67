"""Program that runs inside a container: try each way out, and print if and how it was refused.

    python3 - PID ABSTRACT

PID is the host's process ID of a process in another container. ABSTRACT is the name of an abstract
socket on which that process listens.
An attack that does not raise an OSError has succeeded.
"""

import ctypes
import errno
import os
import platform
import re
import resource
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path

victim, abstract = int(sys.argv[1]), sys.argv[2]
libc = ctypes.CDLL(None, use_errno=True)
attacks: list[Callable[[], object]] = []
# System call numbers of x86_64 and aarch64; those from 424 on are equal on all machines.
TABLE = """
    acct 163 89   add_key 248 217   bpf 321 280   chroot 161 51   clock_settime 227 112
    clone 56 220   delete_module 176 106   fanotify_init 300 262   finit_module 313 273
    init_module 175 105   io_setup 206 0   kcmp 312 272   kexec_file_load 320 294
    kexec_load 246 104   keyctl 250 219   migrate_pages 256 238   mount 165 40
    name_to_handle_at 303 264   open_by_handle_at 304 265   perf_event_open 298 241
    pivot_root 155 41   process_vm_readv 310 270   ptrace 101 117   quotactl 179 60
    reboot 169 142   request_key 249 218   sched_setattr 314 274   setdomainname 171 162
    sethostname 170 161   setns 308 268   settimeofday 164 170   swapoff 168 225
    swapon 167 224   syslog 103 116   umount2 166 39   unshare 272 97   userfaultfd 323 282
    vhangup 153 58   vmsplice 278 75   io_uring_setup 425 425   io_uring_enter 426 426
    io_uring_register 427 427   open_tree 428 428   move_mount 429 429   fsopen 430 430
    fsconfig 431 431   fsmount 432 432   fspick 433 433   clone3 435 435   pidfd_getfd 438 438
    process_madvise 440 440   mount_setattr 442 442   quotactl_fd 443 443
"""
NUMBERS = {
    name: (int(x86_64), int(aarch64))
    for name, x86_64, aarch64 in re.findall(r"(\w+) (\d+) (\d+)", TABLE)
}
zeros = ctypes.create_string_buffer(4096)
one_page = struct.pack("QQ", ctypes.addressof(zeros), 4096)  # struct iovec
MS_BIND, MS_REMOUNT = 4096, 32
NAMESPACES = {
    "time": 0x80,
    "mnt": 0x20000,
    "cgroup": 0x2000000,
    "uts": 0x4000000,
    "ipc": 0x8000000,
    "user": 0x10000000,
}
NAMESPACES |= {"pid": 0x20000000, "net": 0x40000000}


def call(name: str, *arguments: object) -> int:
    number = NUMBERS[name][platform.machine() == "aarch64"]
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    result = libc.syscall(ctypes.c_long(number), *words)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return int(result)


def attack(function: Callable[[], object]) -> Callable[[], object]:
    attacks.append(function)
    return function


def each(name: str, ways: dict[str, Callable[[], object]]) -> None:
    for way, function in ways.items():
        function.__name__ = f"{name}_{way}"
        attacks.append(function)


def simple(name: str, *arguments: object) -> None:
    each("call", {name: lambda: call(name, *arguments)})


def write(path: str, text: str) -> Callable[[], object]:
    def attempt() -> None:
        file = os.open(path, os.O_WRONLY)
        try:
            os.write(file, text.encode())
        finally:
            os.close(file)

    return attempt


# Mounts and namespaces

each(
    "mount",
    {
        "tmpfs": lambda: call("mount", b"none", b"/tmp", b"tmpfs", 0, None),
        "bind": lambda: call("mount", b"/", b"/tmp", None, MS_BIND, None),
        "remount_proc_sys": lambda: call(
            "mount", None, b"/proc/sys", None, MS_REMOUNT | MS_BIND, None
        ),
        "cgroup": lambda: call("mount", b"none", b"/tmp", b"cgroup", 0, b"memory"),
        "proc": lambda: call("mount", b"none", b"/tmp", b"proc", 0, None),
        "unmask": lambda: call("umount2", b"/proc/acpi", 2),
        "pivot": lambda: call("pivot_root", b"/tmp", b"/tmp"),
        "new_api": lambda: call("fsopen", b"tmpfs", 0),
        "new_api_configure": lambda: call("fsconfig", 0, 6, None, None, 0),
        "new_api_make": lambda: call("fsmount", 0, 0, 0),
        "new_api_pick": lambda: call("fspick", -100, b"/proc/sys", 0),
        "new_api_tree": lambda: call("open_tree", -100, b"/", 1),
        "new_api_move": lambda: call("move_mount", -100, b"/proc/sys", -100, b"/tmp", 0),
        "new_api_attributes": lambda: call("mount_setattr", -100, b"/proc/sys", 0, zeros, 32),
    },
)
each(
    "unshare", {kind: lambda flag=flag: call("unshare", flag) for kind, flag in NAMESPACES.items()}
)
each(
    "clone",
    {
        kind: lambda flag=flag: call("clone", flag | 17, 0, 0, 0, 0)
        for kind, flag in NAMESPACES.items()
        if flag > 0xFF
    },
)
each(
    "setns",
    {
        kind: lambda kind=kind: call("setns", os.open(f"/proc/1/ns/{kind}", os.O_RDONLY), 0)
        for kind in ("mnt", "user", "pid", "net")
    },
)
simple("clone3", zeros, 88)

# Calls that no app needs

simple("acct", b"/tmp/acct")
simple("add_key", b"user", b"name", b"key", 3, -3)
simple("bpf", 0, zeros, 64)
simple("clock_settime", 0, zeros)
simple("delete_module", b"loop", 0)
simple("fanotify_init", 0x200, 0)
simple("finit_module", os.open("/dev/null", os.O_RDONLY), b"", 0)
simple("init_module", zeros, 64, b"")
simple("io_setup", 1, zeros)
simple("io_uring_enter", 0, 0, 0, 0, None, 0)
simple("io_uring_register", 0, 0, None, 0)
simple("io_uring_setup", 1, zeros)
simple("kcmp", os.getpid(), os.getppid(), 0, 0, 0)
simple("kexec_file_load", 0, 0, 0, b"", 0)
simple("kexec_load", 0, 0, zeros, 0)
simple("keyctl", 0, -3, 1)
simple("migrate_pages", 0, 0, zeros, zeros)
simple("name_to_handle_at", -100, b"/", zeros, zeros, 0)
simple("open_by_handle_at", -100, zeros, 0)
simple("perf_event_open", zeros, 0, -1, -1, 0)
simple("pidfd_getfd", os.pidfd_open(os.getpid()), 0, 0)
simple("process_madvise", os.pidfd_open(os.getpid()), zeros, 0, 21, 0)
simple("quotactl", 0, b"/", 0, zeros)
simple("quotactl_fd", 0, 0, 0, zeros)
simple("reboot", 0xFEE1DEAD, 672274793, 0x01234567, None)
simple("request_key", b"user", b"name", None, -3)
simple("sched_setattr", 0, struct.pack("IIQiIQQQ", 48, 0, 0, 0, 0, 100_000, 0, 0), 0)
simple("setdomainname", b"x", 1)
simple("sethostname", b"x", 1)
simple("settimeofday", zeros, None)
simple("swapoff", b"/tmp/swap")
simple("swapon", b"/tmp/swap", 0)
simple("syslog", 3, zeros, 4096)
simple("userfaultfd", 1)
simple("vhangup")
simple("vmsplice", 1, zeros, 1, 0)

# Files of the kernel

each(
    "write",
    {
        path.strip("/").replace("/", "_"): write(path, text)
        for path, text in (
            ("/proc/sys/kernel/core_pattern", "|/tmp/x"),
            ("/proc/sys/kernel/hostname", "x"),
            ("/proc/sys/kernel/modprobe", "/tmp/x"),
            ("/proc/sys/net/ipv4/ip_forward", "1"),
            ("/proc/sys/user/max_user_namespaces", "10"),
            ("/proc/sys/vm/drop_caches", "1"),
            ("/proc/sysrq-trigger", "b"),
            ("/proc/self/oom_score_adj", "-1000"),
            ("/proc/self/uid_map", "0 0 1"),
            ("/proc/1/oom_score_adj", "-1000"),
            ("/sys/kernel/uevent_helper", "/tmp/x"),
            ("/sys/kernel/mm/transparent_hugepage/enabled", "never"),
            ("/sys/fs/cgroup/release_agent", "/tmp/x"),
            ("/sys/fs/cgroup/memory.max", "max"),
            ("/sys/fs/cgroup/cgroup.procs", "0"),
            ("/sys/fs/cgroup/memory/release_agent", "/tmp/x"),
            ("/dev/kmsg", "x"),
        )
    },
)
each(
    "make",
    {
        "cgroup": lambda: Path("/sys/fs/cgroup/x").mkdir(),
        "folder_of_proc": lambda: Path("/proc/x").mkdir(),
    },
)

# Devices and rights

each(
    "device",
    {
        "disk": lambda: os.mknod("/tmp/disk", 0o060600, os.makedev(7, 0)),
        "memory": lambda: os.mknod("/tmp/memory", 0o020600, os.makedev(1, 1)),
        "below_dev": lambda: os.mknod("/dev/disk", 0o060600, os.makedev(7, 0)),
        **{
            name.replace("-", "_"): lambda name=name: os.open(f"/dev/{name}", os.O_RDONLY)
            for name in ("mem", "loop-control", "loop0", "fuse", "kvm", "net/tun", "vsock")
        },
    },
)


@attack
def become_a_user_outside_the_range() -> None:
    os.setresuid(100_000, 100_000, 100_000)


@attack
def give_a_file_to_a_user_outside_the_range() -> None:
    given = Path("/tmp/given")
    given.touch()
    os.chown(given, 100_000, 100_000)


@attack
def gain_by_a_setuid_program() -> None:
    """Run a set-user-ID copy of Python in a child without root.

    The copy belongs to root, or to another user.
    """
    program = Path("/tmp/setuid")
    program.write_bytes(Path("/usr/bin/python3").read_bytes())
    if os.getuid() == 0:
        os.chown(program, 0, 0)
    program.chmod(0o6755)
    if (child := os.fork()) == 0:
        user = 2000 if os.getuid() == 0 else os.getuid()
        if os.getuid() == 0:
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
        os.execv(
            program,
            [
                "python3",
                "-c",
                f"import os; os._exit(os.geteuid() != {user} or os.getegid() != {user})",
            ],
        )
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        raise OSError(errno.EPERM, "the bit was ignored")


@attack
def raise_an_own_limit() -> None:
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (2**20 + 1, 2**20 + 1))
    except ValueError as refusal:
        raise OSError(errno.EPERM, str(refusal)) from None


@attack
def run_in_real_time() -> None:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))


@attack
def be_served_before_others() -> None:
    os.setpriority(os.PRIO_PROCESS, 0, -10)


# The network

FAMILIES = {"packet": 17, "vsock": 40, "alg": 38, "xdp": 44, "can": 29, "bluetooth": 31}
FAMILIES |= {"rds": 21, "tipc": 30, "kcm": 41, "qipcrtr": 42, "smc": 43}
each(
    "socket",
    {
        name: lambda family=family: socket.socket(family, socket.SOCK_DGRAM)
        for name, family in FAMILIES.items()
    },
)
each(
    "socket_wide",
    {
        name: lambda family=family: socket_wide(family)
        for name, family in FAMILIES.items()
        if name in ("alg", "vsock")
    },
)
each(
    "socket",
    {
        "raw": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
        "raw_6": lambda: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6),
        "vsock_stream": lambda: socket.socket(FAMILIES["vsock"], socket.SOCK_STREAM),
        "alg_hash": lambda: socket.socket(FAMILIES["alg"], socket.SOCK_SEQPACKET),
        "netlink_audit": lambda: socket.socket(16, socket.SOCK_RAW, 9),
        "netlink_netfilter": lambda: socket.socket(16, socket.SOCK_RAW, 12),
        "netlink_crypto": lambda: socket.socket(16, socket.SOCK_RAW, 21),
        "netlink_generic": lambda: socket.socket(16, socket.SOCK_RAW, 16),
    },
)


def socket_wide(family: int) -> int:
    """Create a socket, with additional high bits that the kernel ignores."""
    return call_number(41 if platform.machine() == "x86_64" else 198, family | 1 << 32, 5, 0)


def call_number(number: int, *arguments: int) -> int:
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(word) for word in arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), "call")
    return int(result)


def netlink(kind: int, flags: int, body: bytes) -> None:
    """Send one request to the kernel's routing tables and read the answer (netlink(7))."""
    with socket.socket(16, socket.SOCK_RAW, 0) as link:
        link.send(struct.pack("IHHII", 16 + len(body), kind, flags | 5, 1, 0) + body)
        answer = link.recv(4096)
    code = struct.unpack_from("i", answer, 16)[0]
    if code:
        raise OSError(-code, "netlink")


@attack
def set_a_link_up_or_down() -> None:
    netlink(16, 0, struct.pack("BxHiII", 0, 0, 1, 0, 1))


@attack
def add_an_address() -> None:
    netlink(
        20,
        0x600,
        struct.pack("BBBBI", 2, 32, 0, 0, 1) + struct.pack("HH4s", 8, 2, bytes((10, 9, 8, 7))),
    )


@attack
def add_a_route() -> None:
    netlink(
        24,
        0x600,
        struct.pack("BBBBBBBBI", 2, 0, 0, 0, 254, 4, 0, 1, 0) + struct.pack("HHI", 8, 4, 1),
    )


@attack
def reach_an_abstract_socket_of_another() -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"\0{abstract}")


# Other containers

each(
    "victim",
    {
        "signal": lambda: os.kill(victim, 0),
        "trace": lambda: call("ptrace", 16, victim, None, None),
        "read_memory": lambda: call("process_vm_readv", victim, one_page, 1, one_page, 1, 0),
        "root": lambda: os.listdir(f"/proc/{victim}/root"),
        "environment": lambda: Path(f"/proc/{victim}/environ").read_bytes(),
        "pidfd": lambda: os.pidfd_open(victim),
        "priority": lambda: os.setpriority(os.PRIO_PROCESS, victim, 19),
    },
)

for attempt in attacks:
    try:
        attempt()
        print(attempt.__name__, "ALLOWED")
    except OSError as refusal:
        print(attempt.__name__, "refused", errno.errorcode[refusal.errno or 0])
print("tried", len(attacks))
