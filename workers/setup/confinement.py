"""The mount namespace that workers and supervisor run in: the machine read-only, only the platform's own folders writable.

A platform has one, pinned to a file in the run folder. So mounts that a killed worker made are there for the next one, and for
`make down`. Its mounts do not show on the host; `nsenter --mount=PIN` looks at them (mount_namespaces(7)).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from runtime.config import NodeConfig, from_environment
from runtime.errors import KernelRefused, ProcessFailed, RuntimeFailure
from runtime.kernel import Kernel, Mount, MountFlag
from runtime.process import run
from workers.setup.tree import ROOT

# What the work needs (capabilities(7)); docs/security.md has the reason of each.
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
_READ_ONLY_STATE = ("secrets", "redis")  # below the state folder: read by workers, or nothing to them
_TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 -- where programs put temporary files; ours is another folder
_KERNELS = (Path("/proc"), Path("/sys"))  # containers get new ones only where these are as they were (mount_too_revealing, fs/namespace.c)
_DEVICES = Path("/dev")
_OWN = Path("/proc/self/ns/mnt")


def pin(config: NodeConfig) -> Path:
    """The namespace's file."""
    return _folder(config) / "mnt"


def is_made(config: NodeConfig) -> bool:
    """Whether the namespace exists, asked from outside."""
    try:
        return pin(config).stat().st_dev == _OWN.stat().st_dev  # both on nsfs
    except FileNotFoundError:
        return False


def ensure(config: NodeConfig, environment: Mapping[str, str]) -> None:
    """Make the namespace where there is none, and set each of its mounts as it should be."""
    program = [sys.executable, "-m", "workers.setup.confinement"]
    if is_made(config):
        run(["nsenter", f"--mount={pin(config)}", "--", "env", f"--chdir={ROOT}", *program], env=environment)
        return
    kernel = Kernel()
    folder = _folder(config)
    folder.mkdir(mode=0o700, exist_ok=True)
    if not _is_mounted(kernel, folder):
        kernel.bind(folder, folder)  # private: the kernel pins a mount namespace nowhere else
    pin(config).touch(mode=0o600)
    try:
        _make(config, program, environment)
    except BaseException:
        remove(config)
        raise


def remove(config: NodeConfig) -> None:
    """Unpin the namespace; its mounts go with its last process."""
    for target in Kernel().mounts_below(_folder(config)):
        Kernel().unmount(target, lazily=True)


def enter(config: NodeConfig) -> None:
    """Start this program anew in the namespace, where there is one: for commands that work on what workers have mounted.

    The process itself cannot move there: by then it may have threads, and the kernel moves no process that has (setns(2)).
    """
    if is_made(config) and not is_inside(config):
        words = ["nsenter", f"--mount={pin(config)}", "--", "env", f"--chdir={Path.cwd()}", sys.executable, *sys.orig_argv[1:]]
        sys.stdout.flush()
        os.execvp(words[0], words)  # noqa: S606  # the words that this process was started with


def is_inside(config: NodeConfig) -> bool:
    """Whether this process runs in the namespace. Its file is not seen there: the kernel copies no mount of such a file."""
    return _is_mounted(Kernel(), config.state / _READ_ONLY_STATE[0])


def command(config: NodeConfig, root: Path, words: list[str], *, rights: list[str]) -> list[str]:
    """`words` run in the namespace, with CAPABILITIES alone; `rights` are more options of setpriv(1)."""
    allowed = ",".join(("-all", *(f"+{name}" for name in CAPABILITIES)))
    confined = ["setpriv", *rights, f"--bounding-set={allowed}", f"--inh-caps={allowed}", "--", *words]
    return ["nsenter", f"--mount={pin(config)}", "--", "env", f"--chdir={root}", *confined]


def confine(config: NodeConfig, kernel: Kernel, root: Path) -> None:
    """Set the mounts of the namespace that this process is in. Run again, it finds nothing to do but what is new."""
    for folder in (config.state, config.run):
        if not _is_mounted(kernel, folder):
            kernel.bind(folder, folder)
    temporary = config.state / "tmp"
    temporary.mkdir(exist_ok=True)
    temporary.chmod(0o1777)
    for place in _TEMPORARY:
        if place.is_dir() and not place.samefile(temporary):
            _cover(kernel, place, temporary, {config.state: MountFlag.NONE, config.run: MountFlag.NONE, root: MountFlag.READ_ONLY})
    for name in _READ_ONLY_STATE:
        _ensure_read_only_copy(kernel, config.state / name)
    for mount in kernel.mounts():
        if _is_the_hosts(mount, config):
            _make_read_only(kernel, mount.target)


def _make(config: NodeConfig, program: list[str], environment: Mapping[str, str]) -> None:
    """Make and pin the namespace, and run `program` in it.

    The kernel pins a namespace only from one with a lower number. Since Linux 6.18 each processor counts on its own, so within a
    container, whose namespace has a high number, it may refuse on one processor (EINVAL) and not on another.
    """
    words = ["unshare", f"--mount={pin(config)}", "--propagation", "slave", "--", *program]
    failure: ProcessFailed | None = None
    for processor in sorted(os.sched_getaffinity(0)):
        try:
            run(["taskset", "--cpu-list", str(processor), *words], env=environment, cwd=ROOT)
        except ProcessFailed as error:
            if is_made(config):
                raise  # it was pinned: `program` is what failed
            failure = error
        else:
            return
    assert failure is not None
    raise failure


def _cover(kernel: Kernel, place: Path, by: Path, kept: Mapping[Path, MountFlag]) -> None:
    """Show the folder `by` at `place`, and what is kept below `place` where it was. Other mounts below it are let go of."""
    shown = {place: kernel.clone_tree(by)}  # what is kept may itself be a mount that is let go of, and `by` lies in it
    shown |= {path: kernel.clone_tree(path, flags=flags) for path, flags in kept.items() if path.is_relative_to(place)}
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
    """Whether a mount belongs neither to the platform nor to the kernel. A /dev that the kernel does not fill needs its loop devices made."""
    if mount.target == _DEVICES:
        return mount.kind == "devtmpfs"
    return not any(mount.target.is_relative_to(folder) for folder in (config.state, config.run, *_TEMPORARY, *_KERNELS, _DEVICES / "pts"))


def _make_read_only(kernel: Kernel, target: Path) -> None:
    try:
        kernel.make_read_only(target)
    except KernelRefused:  # a user's FUSE, say, that root may not even look at
        kernel.unmount(target, lazily=True)


def _is_mounted(kernel: Kernel, folder: Path) -> bool:
    """Path.is_mount() does not see that a folder is bound to itself."""
    return any(mount.target == folder for mount in kernel.mounts())


def _folder(config: NodeConfig) -> Path:
    return config.run / "confined"


def main() -> int:
    """What `ensure` runs inside."""
    try:
        confine(from_environment(), Kernel(), ROOT)
    except RuntimeFailure as failure:
        print(failure.explain(), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
