"""pnpm, yarn and other versions of npm: each in its own layer, from the packages of the npm
registry. Pure: only values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NUMBER = r"(?:0|[1-9][0-9]{0,8})"
_IDENTIFIER = r"(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
# A version by semver.org without build metadata. npm reads `1.2.3-x.tgz` as the name of a file
# (isFilename in npm-package-arg), and anything with `/`, `:` or `@` as an address.
VERSION = (
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}"
    rf"(?:-{_IDENTIFIER}(?:\.(?!(?i:tgz|tar)){_IDENTIFIER})*)?"
)
_LONGEST = 100  # characters

PNPM = {
    "5": "7.33.7",
    "6": "8.15.9",
    "9": "10.34.9",
}  # by the lock file's major format: the newest version that reads it and keeps it
PNPM_OFFERED = ("7.33.7", "8.15.9", "9.15.9", "10.34.9", "11.28.11", "12.21.0")
YARN_CLASSIC = "1.22.22"
COREPACK = "0.34.7"
YARN_BERRY = {
    "4": "2.4.2",
    "6": "3.8.7",
    "8": "4.13.0",
    "9": "4.14.1",
    "10": "4.18.1",
}  # by `__metadata: version` of yarn.lock
NPM_OFFERED = ("9.9.4", "11.21.2")  # in addition to the npm of every Node.js here
TOOLS = ("npm", "pnpm", "yarn", "corepack")


def is_version(text: str) -> bool:
    """Return whether npm reads the text as exactly one version, not as a file or an address."""
    return len(text) <= _LONGEST and re.fullmatch(VERSION, text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageManager:
    """A tool that installs packages of Node.js.

    It is in /opt/NAME, its commands in /usr/local/bin. ValueError: the version is not exact.
    """

    tool: str  # npm, pnpm, yarn or corepack
    version: str
    checksum: str = (
        ""  # "sha512.HEX" of the packed tool, as `packageManager` in package.json may give it
    )
    revision: int = 1

    def __post_init__(self) -> None:
        if self.tool not in TOOLS or not is_version(self.version):
            raise ValueError(f"{self.tool}@{self.version} is not a version of a package manager")

    @property
    def name(self) -> str:
        return f"{self.tool}-{self.version}"

    @property
    def package(self) -> str:
        """Return the tool's name in the npm registry."""
        return "@yarnpkg/cli-dist" if self.is_berry else self.tool

    @property
    def is_berry(self) -> bool:
        """Return whether this is yarn 2 or later, which is largely different from yarn 1."""
        return self.tool == "yarn" and not self.version.startswith("1.")


# the tools that Docker's official images of Node.js have on the PATH next to npm
IN_NODE_IMAGES = (
    PackageManager(tool="yarn", version=YARN_CLASSIC),
    PackageManager(tool="corepack", version=COREPACK),
)
