"""Choose npm, pnpm or yarn to install a source's packages, and its version. Pure.

`packageManager` of package.json decides. Without it, the lock file decides.
Then it is the newest version within `engines` that reads the lock file's format and leaves it
unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import nodesemver

from runtime.builds.languages.detect import Source
from runtime.builds.steps import Tool
from runtime.errors import BadSource
from runtime.stacks.definition import NODE_NPM
from runtime.stacks.packages import package_manager as offered
from runtime.stacks.packages.package_manager import VERSION, PackageManager, is_version

_LOCKS = {
    "npm-shrinkwrap.json": Tool.NPM,
    "package-lock.json": Tool.NPM,
    "pnpm-lock.yaml": Tool.PNPM,
    "yarn.lock": Tool.YARN,
}
_NOT_READ = ("bun.lockb", "bun.lock", "deno.lock")
_STATED = re.compile(
    rf"(npm|pnpm|yarn)@({VERSION})(?:\+((?:sha1|sha224|sha256|sha384|sha512)\.[0-9a-f]+))?"
)
_LONGEST_WISH = 100  # characters, as in javascript/node_version.py


@dataclass(frozen=True, slots=True, kw_only=True)
class Installer:
    """The package manager.

    `manager` is a layer of its own, or None for the npm that Node.js includes.
    """

    tool: Tool
    version: str
    manager: PackageManager | None
    lock: str  # the lock file that it uses, or ""
    because: str  # for the log
    linker: str = ""  # of yarn 2 and later: pnp, node-modules or pnpm

    @property
    def is_berry(self) -> bool:
        return self.manager is not None and self.manager.is_berry

    @property
    def plays(self) -> bool:
        """Return whether yarn uses Plug'n'Play: no node_modules, but a map of archives that Node.js
        loads first.
        """
        return self.linker == "pnp"

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])


def choose(source: Source, package: Mapping[str, Any]) -> Installer:
    """Return the package manager.

    BadSource: the requested one is not offered, or its version is not valid.
    """
    stated = str(package.get("packageManager", "")).strip()
    locks = [name for name in _LOCKS if name in source.files]
    if stated:
        return _stated(source, stated, locks)
    tool = _LOCKS[locks[0]] if locks else Tool.NPM
    lock = locks[0] if locks else ""
    default, candidates = _candidates(source, tool, lock)
    wish = engine(package, tool)
    version = _within(wish, tool, (default,), candidates) if wish else default
    because = f"{lock or 'no lock file'}{f' and engines.{tool}' if wish else ''}"
    if tool is Tool.NPM and version == NODE_NPM:
        return Installer(tool=tool, version=version, manager=None, lock=lock, because=because)
    return _installer(source, PackageManager(tool=tool, version=version), lock, because)


def engine(package: Mapping[str, Any], name: str) -> str:
    """Return the range of versions that `engines` requires, or ""."""
    engines = package.get("engines")
    return str(engines.get(name, "")).strip() if isinstance(engines, dict) else ""


def unread(source: Source, installer: Installer) -> tuple[str, ...]:
    """Return the lock files that exist but are not used."""
    return tuple(
        name for name in (*_LOCKS, *_NOT_READ) if name in source.files and name != installer.lock
    )


def _stated(source: Source, stated: str, locks: list[str]) -> Installer:
    match = _STATED.fullmatch(stated) if len(stated) < 4 * _LONGEST_WISH else None
    if match is None or not is_version(match[2]):
        raise BadSource(
            f"packageManager in package.json reads {stated[:_LONGEST_WISH]!r}, which is not a"
            " version of npm, pnpm or yarn.",
            hint=f'Write for example "pnpm@{offered.PNPM["9"]}"; bun and others are not supported.',
        )
    tool = Tool(match[1])
    manager = PackageManager(tool=tool, version=match[2], checksum=match[3] or "")
    lock = next((name for name in locks if _LOCKS[name] is tool), "")
    if tool is Tool.NPM and manager.version == NODE_NPM:
        return Installer(
            tool=tool, version=NODE_NPM, manager=None, lock=lock, because="packageManager"
        )
    return _installer(source, manager, lock, "packageManager")


def _installer(source: Source, manager: PackageManager, lock: str, because: str) -> Installer:
    linker = ""
    if manager.is_berry:
        found = re.search(
            r"^nodeLinker:[ \t]*[\"']?([\w-]+)", source.texts.get(".yarnrc.yml", ""), re.MULTILINE
        )
        linker = found[1] if found else "pnp"
    return Installer(
        tool=Tool(manager.tool),
        version=manager.version,
        manager=manager,
        lock=lock,
        because=because,
        linker=linker,
    )


def _candidates(source: Source, tool: Tool, lock: str) -> tuple[str, tuple[str, ...]]:
    """Return (the version without a wish, all versions that read this lock file)."""
    if tool is Tool.NPM:
        return NODE_NPM, (NODE_NPM, *offered.NPM_OFFERED)
    text = source.texts.get(lock, "")
    if tool is Tool.PNPM:
        form = re.search(r"^lockfileVersion:[ \t]*[\"']?(\d+)", text, re.MULTILINE)
        if form is None or form[1] not in offered.PNPM:
            raise BadSource(
                f"pnpm-lock.yaml has the format {form[1] if form else 'of an unknown pnpm'};"
                f" supported formats are {', '.join(offered.PNPM)}.",
                hint=(
                    "Create it again with a current pnpm (pnpm install), or set packageManager in"
                    " package.json."
                ),
            )
        default = offered.PNPM[form[1]]
        return default, tuple(
            version
            for version in offered.PNPM_OFFERED
            if form[1] == "9" and int(version.partition(".")[0]) >= 9
        ) or (default,)
    form = re.search(
        r"^__metadata:[ \t]*\n(?:[ \t]+\w+:.*\n)*?[ \t]+version:[ \t]*[\"']?(\d+)",
        text,
        re.MULTILINE,
    )
    if form is None:
        default = (
            offered.YARN_BERRY["10"] if ".yarnrc.yml" in source.files else offered.YARN_CLASSIC
        )
        return default, (default,)
    default = offered.YARN_BERRY.get(form[1], "")
    if not default:
        raise BadSource(
            f"yarn.lock has the format {form[1]}; supported formats are 1 and"
            f" {', '.join(offered.YARN_BERRY)}.",
            hint="Set the version in package.json: yarn set version stable writes packageManager.",
        )
    return default, (default,)


def _within(wish: str, tool: Tool, *offers: tuple[str, ...]) -> str:
    where = f"engines.{tool} in package.json"
    if len(wish) > _LONGEST_WISH:
        raise BadSource(
            f"{where} is too long for a range of versions.", hint='Write for example ">=9".'
        )
    try:
        found = next(
            (
                version
                for some in offers
                if (version := nodesemver.max_satisfying(list(some), wish, loose=False))
            ),
            None,
        )
    except ValueError:
        raise BadSource(
            f"{where} reads {wish!r}, which is not a valid range of versions.",
            hint='Write for example ">=9".',
        ) from None
    if found is None:
        raise BadSource(
            f"{where} requires {tool} {wish}, which is not available for this lock file. Available:"
            f" {', '.join(offers[-1])}.",
            hint=(
                'Set the exact version in package.json: "packageManager":'
                f' "{tool}@{offers[-1][-1]}"; any version in the registry works.'
            ),
        )
    return str(found)
