"""Parse a stack file (TOML) to values.

Pure. Every error names the file and the key (docs/stacks.md has the format).
"""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from runtime.errors import BadStack
from runtime.stacks.packages.debian_name import PACKAGE
from runtime.stacks.stack import DebianRuntime, Stack

_NAME = re.compile(r"[a-z][a-z0-9]*(?:[.-][a-z0-9]+)*")
_OF_PACKAGES = ("suite", "packages", "apt")  # not allowed together with `from`


@dataclass(frozen=True, slots=True, kw_only=True)
class StackFile:
    """The content of one file: the stack, and the languages offered on it."""

    stack: Stack
    languages: tuple[DebianRuntime, ...] = ()


@dataclass(frozen=True, slots=True)
class _Form:
    """The check of a text by a pattern. `what` describes valid texts, for the errors."""

    pattern: str | re.Pattern[str]
    what: str

    def __call__(self, value: object) -> object:
        if not isinstance(value, str) or not re.fullmatch(self.pattern, value):
            raise PydanticCustomError("form", "not of the form")
        return value


def _form(pattern: str | re.Pattern[str], what: str) -> BeforeValidator:
    return BeforeValidator(_Form(pattern, what))


def _path(value: object) -> object:
    """Return a path below the root, without its leading slash."""
    is_text = isinstance(value, str) and value.strip("/") and "\0" not in value
    if not is_text or ".." in str(value).split("/"):
        raise PydanticCustomError("path", "not a path inside the stack")
    return posixpath.normpath(str(value)).lstrip("/")


_APT_LINE = r'[A-Za-z][A-Za-z0-9:._/-]* "[^"\n]*";'
_IMAGE = r"[A-Za-z0-9][A-Za-z0-9._:/@-]*"
_StackName = Annotated[
    str, _form(_NAME, "lower-case letters and digits, joined by - or a dot, such as company-1")
]
_Suite = Annotated[str, _form(r"[a-z][a-z0-9-]*", "a Debian suite, such as trixie")]
_Image = Annotated[str, _form(_IMAGE, "an image of a registry, such as registry.example/base:1")]
_Version = Annotated[str, _form(r"\d+(?:\.\d+)*", 'a version, such as "3.13"')]
_Packages = list[Annotated[str, _form(PACKAGE, "names of Debian packages")]]
_Commands = list[Annotated[str, _form(r"[^\0\n]+", "shell commands, each on one line")]]
_Apt = list[Annotated[str, _form(_APT_LINE, """apt.conf lines, such as 'Acquire::Retries "3";'""")]]
_Path = Annotated[str, BeforeValidator(_path)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Language(_Table):
    """A table `languages.NAME`."""

    version: _Version
    packages: _Packages = Field(default_factory=list)
    files: dict[_Path, str] = Field(default_factory=dict)
    links: dict[_Path, str] = Field(default_factory=dict)
    program: _Path = ""
    commands: _Commands = Field(default_factory=list)


class _File(_Table):
    """The keys of the whole file."""

    name: _StackName
    suite: _Suite = ""
    packages: _Packages = Field(default_factory=list)
    image: _Image = Field("", alias="from")
    apt: _Apt = Field(default_factory=list)
    files: dict[_Path, str] = Field(default_factory=dict)
    revision: int = Field(1, ge=1)
    languages: dict[str, _Language] = Field(default_factory=dict)


def parse(text: str, file: str) -> StackFile:
    """Parse a file; `file` is its name, `NAME.toml`.

    BadStack: not TOML, an unknown key, or a value that is not valid.
    """
    try:
        found = _File.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise BadStack(
            f"{file} is not valid TOML: {error}.", hint="docs/stacks.md has a complete example."
        ) from None
    except ValidationError as error:
        raise _wrong(file, *_explained(error.errors()[0])) from None
    if f"{found.name}.toml" != file:
        raise _wrong(
            file, "name", f"is {found.name!r}, but the file's name is not {found.name}.toml"
        )
    if not found.image and not found.suite:
        raise _wrong(file, "suite", f"is missing: {_what(_File, 'suite')}")
    for other in _OF_PACKAGES:
        if found.image and other in found.model_fields_set:
            raise _wrong(
                file,
                other,
                "cannot be used with `from`: a stack consists of Debian packages or of an image",
            )
    stack = Stack(
        name=found.name,
        suite=found.suite,
        packages=tuple(found.packages),
        image=found.image,
        apt=tuple(found.apt),
        files=tuple(found.files.items()),
        revision=found.revision,
    )
    languages = tuple(
        _language(file, name, language, stack) for name, language in found.languages.items()
    )
    return StackFile(stack=stack, languages=languages)


def _language(file: str, name: str, found: _Language, stack: Stack) -> DebianRuntime:
    place = f"languages.{name}"
    if not _NAME.fullmatch(name):
        raise _wrong(file, place, "is not a valid name of a language, such as python")
    if stack.image and found.packages:
        raise _wrong(
            file,
            f"{place}.packages",
            "cannot be added to an image of a registry: use an image that contains them",
        )
    if found.commands and not found.packages:
        raise _wrong(
            file,
            f"{place}.commands",
            "needs packages: commands run only in a stack of Debian packages",
        )
    if not found.packages and not found.program:
        raise _wrong(
            file,
            f"{place}.packages",
            "is missing; for a language that the stack already contains, set `program` instead",
        )
    return DebianRuntime(
        name=f"{name}-{found.version}",
        stack=stack,
        packages=tuple(found.packages),
        files=tuple(found.files.items()),
        links=tuple(found.links.items()),
        program=f"/{found.program}" if found.program else "",
        commands=tuple(found.commands),
    )


def _wrong(file: str, key: str, what: str) -> BadStack:
    return BadStack(f"{file}: {key} {what}.", hint="docs/stacks.md lists the keys of a stack file.")


def _explained(error: ErrorDetails) -> tuple[str, str]:
    """Return the key of an error of pydantic, and our sentence about it."""
    place, value = [str(part) for part in error["loc"] if part != "[key]"], error["input"]
    in_language = place[0] == "languages" and len(place) > 2
    model, name = (_Language, place[2]) if in_language else (_File, place[0])
    in_list = isinstance(error["loc"][-1], int)
    key = ".".join(place[:-1] if in_list or error["loc"][-1] == "[key]" else place)
    match error["type"]:
        case "extra_forbidden":
            known = sorted(info.alias or name for name, info in model.model_fields.items())
            return key, f"is not a key of a stack file; known keys are {', '.join(known)}"
        case "missing":
            return key, f"is missing: {_what(model, name)}"
        case "form" if in_list:
            return key, (
                f"contains {value!r}, which is not valid in a list of {_what(model, name)}"
            )
        case "form":
            return key, f"is {value!r}, which is not {_what(model, name)}"
        case "path":
            return key, f"contains {value!r}, which is not a path inside the stack"
        case "list_type":
            return key, f"is {value!r}, which is not a list of {_what(model, name)}"
        case "dict_type" if name != "languages":
            return key, "is not a table of path = text"
        case "dict_type" | "model_type":
            return key, "is not a table"
        case "string_type":
            return key, f"is {value!r}, which is not text"
        case _:
            return key, f"is {value!r}, which is not a whole number of at least 1"


def _what(model: type[_Table], name: str) -> str:
    """Return what a valid text of a key is, or a valid text of its list."""
    info = next(info for field, info in model.model_fields.items() if name in (field, info.alias))
    return next(form.what for form in _forms((*info.metadata, *get_args(info.annotation))))


def _forms(parts: tuple[object, ...]) -> Iterator[_Form]:
    for part in parts:
        if isinstance(part, BeforeValidator) and isinstance(part.func, _Form):
            yield part.func
        yield from _forms(getattr(part, "__metadata__", ()))
