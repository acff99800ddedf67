"""Tests of the record of the host (tests/fingerprint.py).

It detects every kind of change, and ignores what other programs own.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import fingerprint
from tests.fingerprint import Thing, differences

ROOT = Path(__file__).parents[2]
# Runs in a mount namespace of its own, where /etc and /dev are copies in memory. The host does not
# change.
CHANGED = """
import os, subprocess, sys
from pathlib import Path
from tests import fingerprint

def mount(*words):
    subprocess.run(["mount", *words], check=True)

mount("-t", "tmpfs", "none", "/mnt")
for name in ("etc", "dev"):
    for part in (f"/mnt/{name}", f"/mnt/{name}.work"):
        os.mkdir(part)
mount("-t", "overlay", "none", "-o", "lowerdir=/etc,upperdir=/mnt/etc,workdir=/mnt/etc.work", "/etc")
before = fingerprint.take()
os.chown("/etc", 165536, 165536)
os.chmod("/etc/passwd", 0o666)
with open("/etc/passwd", "a") as file:
    file.write("intruder:x:0:0::/:/bin/sh\\n")
Path("/etc/profile.d").mkdir(exist_ok=True)
Path("/etc/profile.d/intruder.sh").write_text("true")
os.symlink("/proc/1/root", "/etc/intruder-link")
mount("-t", "tmpfs", "intruder", "/srv")
print(*fingerprint.differences(before, fingerprint.take()), sep="\\n")
"""  # noqa: E501


def thing(owner: str = "0:0 0644", content: str = "a") -> Thing:
    return Thing(owner, content)


def test_changes_of_files_accounts_and_mounts_are_reported() -> None:
    command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", CHANGED]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    printed = done.stdout
    for line in (
        "changed: file /etc: 0:0 0755 -> 165536:165536 0755",
        "changed: file /etc/passwd: 0:0 0644 -> 0:0 0666",
        "added: account intruder (0:0 / /bin/sh)",
        "added: file /etc/profile.d/intruder.sh",
        "added: file /etc/intruder-link",
        "added: mount /srv (tmpfs rw",
    ):
        assert line in printed, f"{line!r} is not in: {printed}"


def test_two_records_of_the_same_host_are_equal_and_cheap() -> None:
    begun = time.process_time()
    before = fingerprint.take()
    assert time.process_time() - begun < 1
    assert differences(before, fingerprint.take(), kernel_objects=False) == []


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ({"packages": thing("", "2"), "file /etc/new": thing()}, []),
        (
            {"packages": thing("", "2"), "file /etc/old": thing("100000:0 0644", "b")},
            ["changed: file /etc/old"],
        ),
        (
            {"packages": thing("", "1"), "file /etc/new": thing()},
            ["added: file /etc/new", "removed: file /etc/old"],
        ),
    ],
)
def test_a_package_may_add_files_and_may_not_change_an_owner(after, expected) -> None:
    before = {"packages": thing("", "1"), "file /etc/old": thing()}
    found = differences(before, after)
    assert len(found) == len(expected), found
    assert all(any(line.startswith(start) for line in found) for start in expected)


def test_kernel_objects_are_ignored_during_another_run() -> None:
    assert differences({}, {"mount /x": thing()}, kernel_objects=False) == []
    assert differences({}, {"mount /x": thing()}) == ["added: mount /x (0:0 0644 a)"]


def test_all_keys_of_a_state_folder_are_compared(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "django.key").write_text("one")
    before = fingerprint.take(tmp_path)
    (tmp_path / "secrets" / "django.key").write_text("two")
    (tmp_path / "secrets").chmod(0o777)
    changes = differences(before, fingerprint.take(tmp_path), kernel_objects=False)
    assert [line.partition(": ")[2].partition(":")[0] for line in changes] == [
        "state secrets",
        "state secrets/django.key",
    ]
