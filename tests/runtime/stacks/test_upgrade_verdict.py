"""Tests of the rules for upgrades of a stack, on plain values."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.stacks.packages.debian_version import earlier
from runtime.stacks.verdict import Contents, Upper, judge

OLD = Contents(
    stack="debian-13",
    runtimes=("python-3.13",),
    suite="trixie",
    packages={"libc6": "2.41-12", "libssl3t64": "3.5.1-1"},
    libraries=frozenset({"libc 6", "libssl 3"}),
)


def test_newer_packages_of_the_same_kind_are_allowed() -> None:
    new = replace(
        OLD,
        packages={"libc6": "2.41-12+deb13u1", "libssl3t64": "3.5.4-1~deb13u2", "extra": "1"},
        libraries=OLD.libraries | {"x 1"},
    )
    assert judge(OLD, new, Upper()).sound


@pytest.mark.parametrize(
    ("new", "upper", "reason"),
    [
        (
            {"stack": "debian-14"},
            Upper(),
            "The stack is different: debian-13 before, debian-14 now.",
        ),
        (
            {"suite": "forky"},
            Upper(),
            "debian-13 was built from trixie and is built from forky now.",
        ),
        (
            {"runtimes": ("python-3.14",)},
            Upper(),
            "The language is different: python-3.13 before, python-3.14 now.",
        ),
        (
            {"packages": {"libc6": "2.41-12"}},
            Upper(),
            "Packages that the app's layers may use are gone: libssl3t64.",
        ),
        (
            {"packages": {**OLD.packages, "libc6": "2.36-9"}},
            Upper(),
            "Packages have an earlier version than before: libc6 from 2.41-12 to 2.36-9.",
        ),
        (
            {"libraries": frozenset({"libc 6", "libssl 4"})},
            Upper(),
            "Libraries are gone, or have another ABI: libssl 3.",
        ),
        ({"packages": {}}, Upper(), "The stack has no list of Debian packages"),
        (
            {},
            Upper(package_state=True, hidden=("var/lib/dpkg/status",)),
            "The app's layers contain packages installed by apt or dpkg",
        ),
        (
            {},
            Upper(hidden=("etc/passwd",)),
            "The app's layers replace files that the new stack changes: /etc/passwd.",
        ),
        ({}, Upper(hidden=tuple("abcdefg")), "/a, /b, /c, /d, /e and 2 more."),
    ],
)
def test_everything_that_upper_layers_may_need_must_still_exist(
    new: dict[str, object], upper: Upper, reason: str
) -> None:
    verdict = judge(OLD, replace(OLD, **new), upper)  # type: ignore[arg-type]
    assert not verdict.sound
    assert reason in " ".join(verdict.reasons)


VERSIONS = [
    "1.0-1",
    "1.0-1~bpo12+1",
    "1.0-1+b1",
    "1:0.1",
    "2.41-12+deb13u1",
    "2.41-12",
    "1.0~rc1-1",
    "1.10",
    "1.9",
    "1.0a",
    "1.0+",
    "0",
    "9",
]


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="the reference is Debian's own dpkg")
@settings(max_examples=60, deadline=None)
@given(
    *2
    * [
        st.sampled_from(VERSIONS)
        | st.from_regex(r"\A([0-9]:)?[0-9][0-9a-z.+~]{0,8}(-[0-9a-z.+~]{1,4})?\Z")
    ]
)
def test_versions_are_ordered_as_dpkg_orders_them(version: str, other: str) -> None:
    assert earlier(version, other) is (
        subprocess.run(["dpkg", "--compare-versions", version, "lt", other], check=False).returncode
        == 0
    )
