"""The system calls that a confined helper may make: on open files, folders, memory and its channel.

All others fail with EPERM.
"""

from __future__ import annotations

import errno
import platform

from runtime.kernel import Kernel
from runtime.libseccomp import ALLOW, SeccompRule, errno_action

_FICLONE = 0x40049409
_EQUAL = 4  # SCMP_CMP_EQ
_ALLOWED = [
    "access",
    "brk",
    "clock_getres",
    "clock_gettime",
    "clock_nanosleep",
    "close",
    "close_range",
    "copy_file_range",
    "dup",
    "dup2",
    "dup3",
    "exit",
    "exit_group",
    "epoll_create1",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_wait",
    "fadvise64",
    "fallocate",
    "fchdir",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "fchown",
    "fchownat",
    "fcntl",
    "fdatasync",
    "fgetxattr",
    "flistxattr",
    "fremovexattr",
    "fsetxattr",
    "fstat",
    "fstatfs",
    "fsync",
    "ftruncate",
    "futex",
    "getcwd",
    "getdents64",
    "getegid",
    "geteuid",
    "getgid",
    "getpid",
    "getrandom",
    "getrlimit",
    "getrusage",
    "gettid",
    "gettimeofday",
    "getuid",
    "linkat",
    "lseek",
    "madvise",
    "membarrier",
    "mkdirat",
    "mknodat",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "nanosleep",
    "newfstatat",
    "openat",
    "openat2",
    "pipe2",
    "poll",
    "ppoll",
    "pread64",
    "prlimit64",
    "pselect6",
    "pwrite64",
    "read",
    "readlinkat",
    "readv",
    "recvfrom",
    "recvmsg",
    "renameat",
    "renameat2",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "sched_yield",
    "select",
    "sendfile",
    "sendmsg",
    "sendto",
    "set_robust_list",
    "sigaltstack",
    "statx",
    "symlinkat",
    "sysinfo",
    "uname",
    "unlinkat",
    "utimensat",
    "write",
    "writev",
]
_MACHINES = {"x86_64": ("x86_64",), "aarch64": ("aarch64",)}


def program() -> bytes:
    """Return the list as a seccomp program, only for this machine's native system calls."""
    rules = [SeccompRule(syscall=name, action=ALLOW) for name in _ALLOWED]
    rules.append(SeccompRule(syscall="ioctl", action=ALLOW, conditions=((1, _EQUAL, _FICLONE, 0),)))
    return Kernel().seccomp_program(
        errno_action(errno.EPERM), rules, _MACHINES.get(platform.machine(), ())
    )
