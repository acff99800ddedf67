"""Tests of the syscall adapter: mounts, loop devices, sparse copies, and the messages of errors."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.errors import KernelRefused
from runtime.kernel import Kernel, MountFlag
from runtime.libseccomp import ALLOW, SeccompRule, errno_action
from runtime.process import run


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    """Return a kernel, and unmount everything below the test's folder at the end."""
    made = Kernel()
    yield made
    for target in made.mounts_below(tmp_path):
        made.unmount(target, lazily=True)


def test_a_mount_is_listed_and_unmounting_it_twice_succeeds(kernel: Kernel, tmp_path: Path) -> None:
    target = tmp_path / "with space\tand tab"
    target.mkdir()
    kernel.mount("none", target, "tmpfs", flags=MountFlag.NO_EXEC, options="size=1m")
    assert kernel.mounts_below(tmp_path) == [target]
    assert kernel.unmount(target) is True
    assert kernel.unmount(target) is False
    assert kernel.unmount(tmp_path / "nowhere") is False
    assert kernel.mounts_below(tmp_path) == []


def test_mounts_below_lists_only_these_innermost_first(kernel: Kernel, tmp_path: Path) -> None:
    for name in ("a", "ab"):
        (tmp_path / name).mkdir()
        kernel.mount("none", tmp_path / name, "tmpfs")
    (tmp_path / "a" / "in").mkdir()
    kernel.mount("none", tmp_path / "a" / "in", "tmpfs")
    assert kernel.mounts_below(tmp_path / "a") == [tmp_path / "a" / "in", tmp_path / "a"]


def test_an_error_says_what_failed_on_which_path_and_why(kernel: Kernel, tmp_path: Path) -> None:
    with pytest.raises(
        KernelRefused, match=r"mount nosuchfs on .*: No such device \(ENODEV\)"
    ) as raised:
        kernel.mount("none", tmp_path, "nosuchfs")
    assert raised.value.errno == errno.ENODEV


def test_a_busy_mount_is_refused_and_can_be_unmounted_lazily(
    kernel: Kernel, tmp_path: Path
) -> None:
    kernel.mount("none", tmp_path, "tmpfs")
    with (tmp_path / "held").open("w"):
        with pytest.raises(KernelRefused) as raised:
            kernel.unmount(tmp_path)
        assert raised.value.errno == errno.EBUSY
        assert "fuser" in raised.value.hint
        assert kernel.unmount(tmp_path, lazily=True)


def test_unmounting_in_a_copied_namespace_keeps_the_original_mount(
    kernel: Kernel, tmp_path: Path
) -> None:
    shared, copy = tmp_path / "shared", tmp_path / "copy"
    for folder in (shared, copy):
        folder.mkdir()
    kernel.mount("none", shared, "tmpfs")
    run(["mount", "--make-shared", shared])  # systemd makes all mounts of a machine shared, too
    (shared / "inner").mkdir()
    clone = kernel.clone_tree(shared)
    kernel.attach(clone, copy)
    os.close(clone)
    kernel.mount("none", shared / "inner", "tmpfs")
    assert kernel.mounts_below(copy) == [copy]
    kernel.unmount(copy, lazily=True)
    assert kernel.mounts_below(shared) == [shared / "inner", shared]


def test_a_loop_device_ends_with_its_mount_and_hides_the_file_path(
    kernel: Kernel, tmp_path: Path
) -> None:
    image, target = tmp_path / "image", tmp_path / "target"
    target.mkdir()
    with image.open("wb") as file:
        file.truncate(16 * 2**20)
    run(["mkfs.ext4", "-q", "-b", "4096", "-O", "^has_journal", image])
    with kernel.loop_device(image) as device:
        kernel.mount(device, target, "ext4")
    (target / "file").write_text("x")
    backing = Path("/sys/block") / device.name / "loop/backing_file"
    assert backing.read_text() == "/image\n"
    kernel.drop_unwritten(target)
    with pytest.raises(OSError, match="Input/output"):
        (target / "more").write_text("x")
    kernel.unmount(target)
    deadline = time.monotonic() + 10
    while _is_backed(backing):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_user_namespace_maps_ids_and_leaves_the_files_unchanged(
    kernel: Kernel, tmp_path: Path
) -> None:
    from runtime.containers.userns import UserNamespaces

    source, target, pins = tmp_path / "source", tmp_path / "target", tmp_path / "pins"
    for folder in (source, target, pins):
        folder.mkdir()
    (source / "file").touch()
    namespaces = UserNamespaces(pins, kernel)
    pin = namespaces.of_team(1, 1_065_536)
    assert namespaces.of_team(1, 1_065_536) == pin
    fd = os.open(pin, os.O_RDONLY)
    try:
        clone = kernel.clone_tree(source, idmap=fd, flags=MountFlag.READ_ONLY)
    finally:
        os.close(fd)
    kernel.attach(clone, target)
    os.close(clone)
    assert (target / "file").stat().st_uid == 1_065_536
    assert (source / "file").stat().st_uid == 0
    with pytest.raises(OSError, match="Read-only"):
        (target / "other").touch()


def test_a_compiled_filter_leaves_out_unknown_calls(kernel: Kernel) -> None:
    rules = [
        SeccompRule(syscall="getpid", action=errno_action(errno.EPERM)),
        SeccompRule(syscall="no_such_call", action=errno_action(1)),
    ]
    program = kernel.seccomp_program(ALLOW, rules, ())
    assert len(program) % 8 == 0  # struct sock_filter
    assert len(program) > 0


def _is_backed(backing: Path) -> bool:
    """Return True if the device still uses our file. Another test may have taken its number."""
    try:
        return backing.read_text() == "/image\n"
    except OSError:
        return False  # removed, or being removed
