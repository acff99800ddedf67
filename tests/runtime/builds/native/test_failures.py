"""Pure tests of the reasons why a package could not be compiled."""

from __future__ import annotations

import time

import pytest

from runtime.builds.native import failures

FAILED = (
    "error: Failed to build `pyaudio==0.2.14`",
    "  cause: The build backend returned an error",
)


@pytest.mark.parametrize(
    ("line", "lacked"),
    [
        ("src/a.c:9:10: fatal error: portaudio.h: No such file or directory", "`portaudio.h`"),
        ("a.c:1: fatal error: ldap/lber.h: No such file or directory", "`ldap/lber.h`"),
        ("/usr/bin/ld: cannot find -lasound: No such file", "`libasound.so`"),
        ("No package 'dbus-1' found", "`dbus-1` (by pkg-config)"),
        (
            "Package 'girepository-2.0', required by 'x', not found",
            "`girepository-2.0` (by pkg-config)",
        ),
        ("Error: pg_config executable not found.", "`pg_config`"),
        ("/bin/sh: 1: mysql_config: not found", "`mysql_config`"),
        ("error: [Errno 2] No such file or directory: 'x86_64-linux-gnu-gcc'", "-gnu-gcc`"),
        ("error: can't find Rust compiler", "Rust"),
    ],
)
def test_the_missing_header_library_or_program_is_named(line: str, lacked: str) -> None:
    output = (*FAILED, line)
    assert failures.is_compilation(output)
    cause = failures.explain(output)
    assert cause.startswith("pyaudio==0.2.14 could not be compiled: the build does not have ")
    assert cause.endswith(f"{lacked}.")


def test_long_lines_of_a_hostile_package_take_no_time() -> None:
    began = time.process_time()
    assert failures.explain((*FAILED, *["a" * 1_000_000] * 100)) == ""
    assert time.process_time() - began < 5


def test_another_failure_does_not_count_as_a_compilation() -> None:
    output = ("  x No solution found when resolving dependencies:", "nosuch was not found")
    assert not failures.is_compilation(output)
    assert failures.explain(FAILED) == ""
