"""Compile seccomp filters with libseccomp, through ctypes."""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

from runtime.errors import HostLacks, KernelRefused

ALLOW = 0x7FFF0000  # SECCOMP_RET_ALLOW


def errno_action(code: int) -> int:
    """Return the action that fails a call with this errno (SECCOMP_RET_ERRNO)."""
    return 0x00050000 | code


@dataclass(frozen=True, slots=True, kw_only=True)
class SeccompRule:
    """The action for a syscall if all conditions on its arguments hold (seccomp_rule_add(3))."""

    syscall: str
    action: int
    conditions: tuple[tuple[int, int, int, int], ...] = ()  # argument, operator, datum a, datum b


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


_OPTIMIZE, _BINARY_TREE = 8, 2  # SCMP_FLTATR_CTL_OPTIMIZE


def compile_filter(
    default: int, rules: Sequence[SeccompRule], architectures: Sequence[str]
) -> bytes:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        raise HostLacks(
            "The library libseccomp.so.2 is not installed on this machine.",
            hint="Install libseccomp2, or run `make up`.",
        ) from None
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(default)))
    try:
        library.seccomp_attr_set(context, _OPTIMIZE, _BINARY_TREE)
        for name in architectures:
            library.seccomp_arch_add(
                context, ctypes.c_uint32(library.seccomp_arch_resolve_name(name.encode()))
            )
        for rule in rules:
            number = library.seccomp_syscall_resolve_name(rule.syscall.encode())
            if number == -1:  # __NR_SCMP_ERROR: newer than the library
                continue
            conditions = (_Comparison * len(rule.conditions))(
                *(_Comparison(*condition) for condition in rule.conditions)
            )
            added = library.seccomp_rule_add_array(
                context, ctypes.c_uint32(rule.action), number, len(rule.conditions), conditions
            )
            if added < 0:
                raise KernelRefused(
                    f"libseccomp refused a rule for {rule.syscall}: {os.strerror(-added)}.",
                    errno=-added,
                )
        with tempfile.TemporaryFile() as whole:
            file = whole.fileno()
            if (exported := library.seccomp_export_bpf(context, file)) < 0:
                raise KernelRefused(
                    f"libseccomp could not write the filter: {os.strerror(-exported)}.",
                    errno=-exported,
                )
            return os.pread(file, os.fstat(file).st_size, 0)
    finally:
        library.seccomp_release(context)
