"""The tree of a Debian root filesystem, made by mmdebstrap, and the files that a definition
adds.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from pathlib import Path

from runtime import process
from runtime.config import NodeConfig, package_environment
from runtime.errors import BadStack, HostLacks
from runtime.stacks.difference import empty
from runtime.stacks.flatten import inside
from runtime.stacks.packages.debian_mirror import find_mirror
from runtime.stacks.packages.debian_name import is_package_name
from runtime.stacks.stack import Stack

Progress = Callable[[str], None]

EPOCH = 1_735_689_600  # SOURCE_DATE_EPOCH: our builds contain no time of this host
PATH = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
_HOOKS = "/usr/share/mmdebstrap/hooks/merged-usr"
_LEFT_OUT = ("doc", "man", "locale", "info", "lintian")
_MAN_FOLDER = (  # man pages are excluded, and Java's set-up makes links to some in this folder
    'mkdir -p "$1/usr/share/man/man1"'
)
_VOLATILE = (
    "dev",
    "run",
    "tmp",
    "var/log",
    "var/cache/apt",
    "var/cache/debconf",
    "var/cache/ldconfig",
    "var/lib/apt/lists",
)
_APP_USER = {
    "etc/passwd": "app:x:1000:1000:app:/app:/bin/sh\n",
    "etc/group": "app:x:1000:\n",
}  # some programs require a user name
_CHECKED_HASH, _UNCHECKED_HASH = (
    bytes((3, 0, 0, 0)),
    bytes((1, 0, 0, 0)),
)  # the flags that SOURCE_DATE_EPOCH causes, and those that start faster

# Its mounts and daemons are in separate namespaces, so none remains after a killed build.
# setpriv kills unshare when the thread that started it ends, and unshare kills its child.
# That child is the init of the PID namespace, so all other processes end with it
# (pid_namespaces(7)).
_CONTAINED = (
    "setpriv",
    "--pdeathsig",
    "KILL",
    "unshare",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
)


def bootstrap(
    config: NodeConfig,
    stack: Stack,
    packages: tuple[str, ...],
    tree: Path,
    progress: Progress,
    commands: tuple[str, ...] = (),
) -> None:
    """Make a root filesystem of the stack's packages and some more, without any trace of this host.

    `commands` are run in it at the end. BadStack: a text is not the name of a package.
    """
    names = ("usr-is-merged", *stack.packages, *packages)
    for name in names:
        if not is_package_name(name):
            raise BadStack(
                f"{name!r} is not the name of a Debian package.",
                hint="Write the name without a version, a path or a pattern.",
            )
    mirror = find_mirror(config, stack.suite)
    wanted = ",".join(names)
    options = [f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in _LEFT_OUT]
    options += [
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        *(f"--aptopt={line}" for line in (*mirror.settings, *stack.apt)),
    ]
    command = [
        *_CONTAINED,
        "mmdebstrap",
        "--mode=root",
        "--variant=essential",
        f"--hook-dir={_HOOKS}",
        f"--include={wanted}",
        *options,
    ]
    if packages:
        command.append(f"--setup-hook={_MAN_FOLDER}")
    command += [
        f'--customize-hook=chroot "$1" unshare --net sh -ec {shlex.quote(line)}'
        for line in commands
    ]
    environment = {
        **package_environment(),
        **PATH,
        "SOURCE_DATE_EPOCH": str(EPOCH),
        "DEBIAN_FRONTEND": "noninteractive",
    }
    from_host = ("-",) if mirror.sources else ()  # "-": the sources are on standard input
    try:
        process.run(
            [*command, stack.suite, tree, *from_host],
            input="\n".join(mirror.sources).encode(),
            timeout=1800,
            env=environment,
            on_output=lambda line: _report_line(line, progress),
            stoppable=True,
        )
    except HostLacks:
        raise HostLacks(
            "mmdebstrap, which builds the base system, is not installed on this machine.",
            hint="apt-get install mmdebstrap",
        ) from None
    for folder in _VOLATILE:
        empty(tree / folder)
    for path in (
        "etc/hostname",
        "etc/resolv.conf",
        "etc/apt/sources.list",
        "var/cache/ldconfig/aux-cache",
    ):
        (tree / path).unlink(missing_ok=True)
    add_app_user(tree)


def write_files(
    files: Iterable[tuple[str, str]], links: Iterable[tuple[str, str]], tree: Path
) -> None:
    for name, text in files:
        path = inside(tree, name)
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(0o755 if text.startswith("#!") else 0o644)
    for name, leads_to in links:
        path = inside(tree, name)
        path.unlink(missing_ok=True)
        path.symlink_to(leads_to)


def add_app_user(tree: Path) -> None:
    for name, line in _APP_USER.items():
        path = inside(tree, name)
        known = path.read_text() if path.is_file() and not path.is_symlink() else ""
        if not any(entry.split(":")[2:3] == ["1000"] for entry in known.splitlines()):
            path.unlink(missing_ok=True)
            path.write_text(known + line)


def trust_bytecode(tree: Path) -> None:
    """Let Python load compiled modules without hashing their sources at each start (PEP 552, the
    flags).

    The files of a layer do not change.
    """
    for path in tree.rglob("*.pyc"):
        with path.open("r+b") as file:
            file.seek(4)
            if file.read(4) == _CHECKED_HASH:
                file.seek(4)
                file.write(_UNCHECKED_HASH)


def _report_line(line: bytes, progress: Progress) -> None:
    text = line.decode(errors="replace").strip()
    if text.startswith("I: ") and "hook" not in text:
        progress(f"    {text.removeprefix('I: ').removesuffix('...')}")
