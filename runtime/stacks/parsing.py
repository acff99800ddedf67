"""Parse a stack file (TOML) to values.

Pure. Every error names the file and the key (docs/stacks.md has the format).
"""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runtime.errors import BadStack
from runtime.stacks.packages.debian_name import PACKAGE
from runtime.stacks.stack import DebianRuntime, Stack

_NAME = re.compile(r"[a-z][a-z0-9]*(?:[.-][a-z0-9]+)*")
_SUITE = re.compile(r"[a-z][a-z0-9-]*")
_VERSION = re.compile(r"\d+(?:\.\d+)*")
_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*")
_COMMAND = re.compile(r"[^\0\n]+")
_APT = re.compile(r'[A-Za-z][A-Za-z0-9:._/-]* "[^"\n]*";')
_KEYS = {"name", "suite", "packages", "from", "apt", "files", "revision", "languages"}
_OF_PACKAGES = ("suite", "packages", "apt")  # not allowed together with `from`
_LANGUAGE_KEYS = {"version", "packages", "files", "links", "program", "commands"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StackFile:
    """The content of one file: the stack, and the languages offered on it."""

    stack: Stack
    languages: tuple[DebianRuntime, ...] = ()


def parse(text: str, file: str) -> StackFile:
    """Parse a file; `file` is its name, `NAME.toml`.

    BadStack: not TOML, an unknown key, or a value that is not valid.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadStack(
            f"{file} is not valid TOML: {error}.", hint="docs/stacks.md has a complete example."
        ) from None
    reader = _Table(document, file)
    reader.only(_KEYS)
    name = reader.text(
        "name", _NAME, "lower-case letters and digits, joined by - or a dot, such as company-1"
    )
    if f"{name}.toml" != file:
        raise reader.wrong("name", f"is {name!r}, but the file's name is not {name}.toml")
    if "from" in document:
        for other in _OF_PACKAGES:
            if other in document:
                raise reader.wrong(
                    other,
                    "cannot be used with `from`: a stack consists of Debian packages or of an"
                    " image",
                )
        stack = Stack(
            name=name,
            image=reader.text(
                "from", _REFERENCE, "an image of a registry, such as registry.example/base:1"
            ),
            files=reader.pairs("files"),
            revision=reader.number("revision"),
        )
    else:
        stack = Stack(
            name=name,
            suite=reader.text("suite", _SUITE, "a Debian suite, such as trixie"),
            packages=reader.texts("packages", PACKAGE, "names of Debian packages"),
            apt=reader.texts("apt", _APT, """apt.conf lines, such as 'Acquire::Retries "3";'"""),
            files=reader.pairs("files"),
            revision=reader.number("revision"),
        )
    return StackFile(stack=stack, languages=tuple(_languages(reader, stack)))


def _languages(reader: _Table, stack: Stack) -> list[DebianRuntime]:
    found = []
    for language, table in reader.tables("languages"):
        table.only(_LANGUAGE_KEYS)
        if not _NAME.fullmatch(language):
            raise table.wrong("", "is not a valid name of a language, such as python")
        version = table.text("version", _VERSION, 'a version, such as "3.13"')
        packages = table.texts("packages", PACKAGE, "names of Debian packages")
        if stack.image and packages:
            raise table.wrong(
                "packages",
                "cannot be added to an image of a registry: use an image that contains them",
            )
        program = table.path("program")
        commands = table.texts("commands", _COMMAND, "shell commands, each on one line")
        if commands and not packages:
            raise table.wrong(
                "commands", "needs packages: commands run only in a stack of Debian packages"
            )
        if not packages and not program:
            raise table.wrong(
                "packages",
                "is missing; for a language that the stack already contains, set `program` instead",
            )
        found.append(
            DebianRuntime(
                name=f"{language}-{version}",
                stack=stack,
                packages=packages,
                files=table.pairs("files"),
                links=table.pairs("links"),
                program=f"/{program}" if program else "",
                commands=commands,
            )
        )
    return found


class _Table:
    """A TOML table whose errors name the file and the key."""

    def __init__(self, document: Mapping[str, Any], file: str, prefix: str = "") -> None:
        self._document, self._file, self._prefix = document, file, prefix

    def wrong(self, key: str, what: str) -> BadStack:
        return BadStack(
            f"{self._file}: {f'{self._prefix}{key}'.strip('.')} {what}.",
            hint="docs/stacks.md lists the keys of a stack file.",
        )

    def only(self, known: set[str]) -> None:
        for key in self._document:
            if key not in known:
                raise self.wrong(
                    key, f"is not a key of a stack file; known keys are {', '.join(sorted(known))}"
                )

    def text(self, key: str, pattern: re.Pattern[str], what: str) -> str:
        if key not in self._document:
            raise self.wrong(key, f"is missing: {what}")
        value = self._document[key]
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise self.wrong(key, f"is {value!r}, which is not {what}")
        return value

    def texts(self, key: str, pattern: re.Pattern[str], what: str) -> tuple[str, ...]:
        value = self._document.get(key, [])
        if not isinstance(value, list):
            raise self.wrong(key, f"is {value!r}, which is not a list of {what}")
        for item in value:
            if not isinstance(item, str) or not pattern.fullmatch(item):
                raise self.wrong(key, f"contains {item!r}, which is not valid in a list of {what}")
        return tuple(value)

    def number(self, key: str) -> int:
        value = self._document.get(key, 1)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self.wrong(key, f"is {value!r}, which is not a whole number of at least 1")
        return value

    def path(self, key: str) -> str:
        """Return a path below the root, without its leading slash; "" if there is none."""
        if key not in self._document:
            return ""
        return self._path(key, self._document[key])

    def pairs(self, key: str) -> tuple[tuple[str, str], ...]:
        """Return a table of path = text."""
        value = self._document.get(key, {})
        if not isinstance(value, dict):
            raise self.wrong(key, "is not a table of path = text")
        for path, text in value.items():
            if not isinstance(text, str):
                raise self.wrong(f"{key}.{path}", f"is {text!r}, which is not text")
        return tuple((self._path(key, path), text) for path, text in value.items())

    def tables(self, key: str) -> list[tuple[str, _Table]]:
        value = self._document.get(key, {})
        if not isinstance(value, dict):
            raise self.wrong(key, "is not a table")
        for name, inner in value.items():
            if not isinstance(inner, dict):
                raise self.wrong(f"{key}.{name}", "is not a table")
        return [
            (name, _Table(inner, self._file, f"{self._prefix}{key}.{name}."))
            for name, inner in value.items()
        ]

    def _path(self, key: str, text: object) -> str:
        if (
            not isinstance(text, str)
            or not text.strip("/")
            or "\0" in text
            or ".." in text.split("/")
        ):
            raise self.wrong(key, f"contains {text!r}, which is not a path inside the stack")
        return posixpath.normpath(text).lstrip("/")
