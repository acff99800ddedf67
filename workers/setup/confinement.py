"""The mount namespace of workers and supervisor.

Only the platform's own folders are writable in it. The rest of the machine is read-only. A platform
has one namespace, pinned to a file in the run folder. So the mounts of a killed worker remain for
the next worker, and for `make down`. The mounts are not visible on the host; `nsenter --mount=PIN`
shows them (mount_namespaces(7)).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from runtime.config import NodeConfig, from_environment
from runtime.errors import KernelRefused, ProcessFailed, RuntimeFailure
from runtime.kernel import Kernel, MountFlag
from runtime.mount_table import Mount
from runtime.process import run
from workers.setup.tree import ROOT

# The capabilities that the work needs (capabilities(7)); docs/security.md gives the reason of each.
CAPABILITIES = (
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "mknod",
    "net_admin",
    "setfcap",
    "setgid",
    "setpcap",
    "setuid",
    "sys_admin",
    "sys_chroot",
    "sys_nice",
    "sys_ptrace",
)
_READ_ONLY_STATE = ("secrets", "redis")  # folders of the state that workers only read or never use
_TEMPORARY = (
    Path("/tmp"),  # noqa: S108
    Path("/var/tmp"),  # noqa: S108
)
# Containers can mount new ones only while these are unchanged (mount_too_revealing,
# fs/namespace.c).
_KERNELS = (Path("/proc"), Path("/sys"))
_DEVICES = Path("/dev")
_OWN = Path("/proc/self/ns/mnt")


def pin(config: NodeConfig) -> Path:
    """Return the path of the file that pins the namespace."""
    return _folder(config) / "mnt"


def namespace_exists(config: NodeConfig) -> bool:
    """Return True if the namespace exists. The caller must be outside of it."""
    try:
        return pin(config).stat().st_dev == _OWN.stat().st_dev  # both on nsfs
    except FileNotFoundError:
        return False


def ensure(config: NodeConfig, environment: Mapping[str, str]) -> None:
    """Create the namespace if there is none, and set up each of its mounts."""
    program = [sys.executable, "-m", "workers.setup.confinement"]
    if namespace_exists(config):
        run(
            ["nsenter", f"--mount={pin(config)}", "--", "env", f"--chdir={ROOT}", *program],
            env=environment,
        )
        return
    kernel = Kernel()
    folder = _folder(config)
    folder.mkdir(mode=0o700, exist_ok=True)
    if not _is_mounted(kernel, folder):
        # Private: the kernel pins a mount namespace only on a private mount.
        kernel.bind(folder, folder)
    pin(config).touch(mode=0o600)
    try:
        _make(config, program, environment)
    except BaseException:
        remove(config)
        raise


def remove(config: NodeConfig) -> None:
    """Unpin the namespace. Its mounts disappear with its last process."""
    for target in Kernel().mounts_below(_folder(config)):
        Kernel().unmount(target, lazily=True)


def enter(config: NodeConfig) -> None:
    """Restart this program inside the namespace, if there is one.

    For commands that work on mounts of the workers. The process itself cannot move there: it may
    have threads by now, and the kernel does not move a process with threads (setns(2)).
    """
    if namespace_exists(config) and not is_inside(config):
        words = [
            "nsenter",
            f"--mount={pin(config)}",
            "--",
            "env",
            f"--chdir={Path.cwd()}",
            sys.executable,
            *sys.orig_argv[1:],
        ]
        sys.stdout.flush()
        os.execvp(words[0], words)  # noqa: S606  # the words that this process was started with


def is_inside(config: NodeConfig) -> bool:
    """Return True if this process runs in the namespace.

    The pinned file is not visible there: the kernel does not copy a mount of such a file.
    """
    return _is_mounted(Kernel(), config.state / _READ_ONLY_STATE[0])


def command(config: NodeConfig, root: Path, words: list[str], *, rights: list[str]) -> list[str]:
    """Return a command that runs `words` in the namespace with only CAPABILITIES.

    `rights` are more options of setpriv(1).
    """
    allowed = ",".join(("-all", *(f"+{name}" for name in CAPABILITIES)))
    confined = [
        "setpriv",
        *rights,
        f"--bounding-set={allowed}",
        f"--inh-caps={allowed}",
        "--",
        *words,
    ]
    return ["nsenter", f"--mount={pin(config)}", "--", "env", f"--chdir={root}", *confined]


def confine(config: NodeConfig, kernel: Kernel, root: Path) -> None:
    """Set up the mounts of this process's namespace. When run again, it only handles new mounts."""
    for folder in (config.state, config.run):
        if not _is_mounted(kernel, folder):
            kernel.bind(folder, folder)
    temporary = config.state / "tmp"
    temporary.mkdir(exist_ok=True)
    temporary.chmod(0o1777)
    for place in _TEMPORARY:
        if place.is_dir() and not place.samefile(temporary):
            _replace_content(
                kernel,
                place,
                temporary,
                {
                    config.state: MountFlag.NONE,
                    config.run: MountFlag.NONE,
                    root: MountFlag.READ_ONLY,
                },
            )
    for name in _READ_ONLY_STATE:
        _ensure_read_only_copy(kernel, config.state / name)
    for mount in kernel.mounts():
        if _is_the_hosts(mount, config):
            _make_read_only(kernel, mount.target)


def _make(config: NodeConfig, program: list[str], environment: Mapping[str, str]) -> None:
    """Create and pin the namespace, and run `program` in it.

    The kernel pins a namespace only from one with a lower number. Since Linux 6.18, each processor
    counts separately. So in a container, whose namespace has a high number, the kernel may refuse
    on one processor (EINVAL) and not on another.
    """
    words = ["unshare", f"--mount={pin(config)}", "--propagation", "slave", "--", *program]
    failure: ProcessFailed | None = None
    for processor in sorted(os.sched_getaffinity(0)):
        try:
            run(["taskset", "--cpu-list", str(processor), *words], env=environment, cwd=ROOT)
        except ProcessFailed as error:
            if namespace_exists(config):
                raise  # the namespace was pinned, so `program` failed
            failure = error
        else:
            return
    assert failure is not None
    raise failure


def _replace_content(kernel: Kernel, place: Path, by: Path, kept: Mapping[Path, MountFlag]) -> None:
    """Mount the folder `by` at `place`.

    Keep the `kept` paths below `place`, and unmount the rest.
    """
    # Cloned first: a kept path may itself be a mount that gets unmounted, and may contain `by`.
    shown = {place: kernel.clone_tree(by)}
    shown |= {
        path: kernel.clone_tree(path, flags=flags)
        for path, flags in kept.items()
        if path.is_relative_to(place)
    }
    try:
        for mounted in kernel.mounts_below(place):
            kernel.unmount(mounted, lazily=True)
        for path, mount in shown.items():
            path.mkdir(parents=True, exist_ok=True)
            kernel.attach(mount, path)
    finally:
        for mount in shown.values():
            os.close(mount)


def _ensure_read_only_copy(kernel: Kernel, folder: Path) -> None:
    if not _is_mounted(kernel, folder):
        mount = kernel.clone_tree(folder, flags=MountFlag.READ_ONLY)
        try:
            kernel.attach(mount, folder)
        finally:
            os.close(mount)


def _is_the_hosts(mount: Mount, config: NodeConfig) -> bool:
    """Return True if a mount belongs neither to the platform nor to the kernel.

    A /dev that is not a devtmpfs stays writable, because loop devices must be created in it.
    """
    if mount.target == _DEVICES:
        return mount.kind == "devtmpfs"
    return not any(
        mount.target.is_relative_to(folder)
        for folder in (config.state, config.run, *_TEMPORARY, *_KERNELS, _DEVICES / "pts")
    )


def _make_read_only(kernel: Kernel, target: Path) -> None:
    try:
        kernel.make_read_only(target)
    except KernelRefused:  # for example a user's FUSE mount, which root may not access
        kernel.unmount(target, lazily=True)


def _is_mounted(kernel: Kernel, folder: Path) -> bool:
    """Return True if the folder is a mount point.

    Path.is_mount() misses a folder bound to itself.
    """
    return any(mount.target == folder for mount in kernel.mounts())


def _folder(config: NodeConfig) -> Path:
    return config.run / "confined"


def main() -> int:
    """Set up the mounts. `ensure` runs this inside the namespace."""
    try:
        confine(from_environment(), Kernel(), ROOT)
    except RuntimeFailure as failure:
        print(failure.explain(), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
