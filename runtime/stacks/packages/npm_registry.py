"""Packages of the npm registry that become our layers: Node.js itself, and the tools that install
packages.

This is trusted work of the platform, as root, with the host's own npm and its settings.
No script of a package ever runs here.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from runtime import process
from runtime.errors import BadSource, HostLacks, ProcessFailed
from runtime.stacks.packages.package_manager import PackageManager, is_version

_COMMANDS = {
    "npm": ("npm", "npx"),
    "pnpm": ("pnpm", "pnpx"),
    "yarn": ("yarn", "yarnpkg"),
    "corepack": ("corepack",),
}


def view(package: str) -> list[str]:
    """Return every version of a package, in the order of publication."""
    return list(json.loads(_npm(["view", package, "versions", "--json"], Path("/")).stdout))


def pack(packages: Mapping[str, str], into: Path) -> None:
    """Download versions of packages as NAME-VERSION.tgz (npm checks their integrity).

    BadSource: a version is not exact. npm could take it for a file or a repository, and run the
    programs in it.
    """
    for name, version in packages.items():
        if not is_version(version):
            raise BadSource(
                f"{version[:100]!r} is not a version of {name}.",
                hint="Write an exact version, for example 10.2.0.",
            )
    _npm(
        [
            "pack",
            "--loglevel=error",
            "--ignore-scripts",
            "--pack-destination",
            str(into),
            *(f"{name}@{version}" for name, version in packages.items()),
        ],
        into,
    )


def unpack_manager(manager: PackageManager, tree: Path) -> None:
    """Unpack a package manager with its dependencies and commands.

    BadSource: there is no such version, or its checksum differs from the stated one.
    """
    packed, home = tree.with_name("packages"), tree / "opt" / manager.tool
    packed.mkdir()
    home.mkdir(parents=True)
    try:
        pack({manager.package: manager.version}, packed)
    except ProcessFailed as error:
        if "E404" in str(error) or "ETARGET" in str(error) or "notarget" in str(error):
            raise BadSource(
                f"The npm registry has no {manager.tool} {manager.version}.",
                hint="Correct packageManager in package.json.",
            ) from None
        raise
    (tarball,) = packed.glob("*.tgz")
    _check(manager, tarball)
    _npm(
        [
            "install",
            "--global",
            "--prefix",
            str(home),
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            str(tarball),
        ],
        packed,
    )
    local = tree / "usr" / "local" / "bin"
    local.mkdir(parents=True)
    for command in _COMMANDS[manager.tool]:
        if (home / "bin" / command).exists():
            (local / command).symlink_to(f"/opt/{manager.tool}/bin/{command}")
    process.run(["chmod", "-R", "u=rwX,go=rX", tree])


def _check(manager: PackageManager, tarball: Path) -> None:
    """Check Corepack's checksum, which is of the packed tool.

    For yarn 2 and later it is only of the program, so it is not checked.
    """
    algorithm, _, stated = manager.checksum.partition(".")
    if not stated or manager.is_berry:
        return
    with tarball.open("rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if found != stated:
        raise BadSource(
            f"{manager.tool} {manager.version} does not match the {algorithm} in packageManager of"
            " package.json.",
            hint=f"corepack use {manager.tool}@{manager.version} writes the correct one.",
        )


def _npm(arguments: list[str], folder: Path) -> process.Completed:
    ours = Path(sys.prefix) / "bin" / "npm"  # the npm of the lock file, which knows --allow-git
    npm: tuple[str | Path, ...] = (ours, "--allow-git=none") if ours.exists() else ("npm",)
    # A worker may not write to the home folder, where npm has its cache and logs.
    with tempfile.TemporaryDirectory() as cache:
        own = ("--cache", cache, "--logs-max=0")
        return _run([*npm, *own, *arguments], folder)


def _run(command: Sequence[str | Path], folder: Path) -> process.Completed:
    try:
        return process.run(command, timeout=300, cwd=folder, stoppable=True)
    except HostLacks:
        raise HostLacks(
            "npm, which downloads Node.js, is not installed on this machine.",
            hint="Run `make up`, which installs it.",
        ) from None
    except ProcessFailed as error:
        raise ProcessFailed(
            f"The request to the npm registry failed: {error}", hint="Check `npm ping` on the host."
        ) from None
