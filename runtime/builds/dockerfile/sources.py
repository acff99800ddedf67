"""Parse the arguments of a COPY or ADD: patterns, heredocs, a destination. No I/O."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from e2b_dockerfile_utils import parse_heredoc

from runtime.builds.dockerfile.syntax import Heredoc, Instruction, Words
from runtime.contract.git_address import GitAddress, is_git

_REMOTE = ("http://", "https://", "git@", "git://", "ssh://", "ftp://")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The arguments of a COPY or ADD, with variables replaced."""

    patterns: tuple[str, ...]
    files: tuple[tuple[str, bytes], ...]  # heredocs: name and content
    destination: str  # absolute, without a slash at the end
    into_folder: bool
    repository: GitAddress | None = None  # the only source, instead of patterns


def wanted(instruction: Instruction, words: Words, raw: Words, directory: str) -> Wanted:
    """Return the arguments. BadSource: several sources for one file name, or a remote source."""
    bodies = list(instruction.heredocs)
    patterns: list[str] = []
    files: list[tuple[str, bytes]] = []
    for arg in instruction.args[:-1]:
        if bodies and not instruction.exec_form and parse_heredoc(arg) is not None:
            body = bodies.pop(0)
            if "/" in body.name or body.name in (".", ".."):
                raise instruction.wrong(f"<<{body.name} is not a valid file name.")
            files.append((body.name, _content(body, raw, instruction)))
        else:
            patterns.append(words.expand(arg, instruction))
    repository = _repository(instruction, patterns)
    for pattern in () if repository else patterns:
        if pattern.startswith(_REMOTE):
            raise instruction.wrong(
                f"{pattern} cannot be fetched by {instruction.name}.",
                hint="Fetch it in a step: RUN curl -fsSLO …, or ADD https://HOST/PATH.git …",
            )
        if not pattern or "\0" in pattern:
            raise instruction.wrong(f"{instruction.name} has an empty source.")
    last = words.expand(instruction.args[-1], instruction)
    if not last or "\0" in last:
        raise instruction.wrong(f"{instruction.name} has no destination.")
    into = (
        last.endswith("/")
        or posixpath.basename(last) in (".", "..")
        or instruction.switched("parents")
    )
    if len(instruction.args) > 2 and not into:
        raise instruction.wrong(
            f"{instruction.name} with several sources needs a folder as its destination.",
            hint=f"Write {last}/",
        )
    absolute = posixpath.normpath(posixpath.join(directory or "/", last)).lstrip("/")
    return Wanted(
        repository=repository,
        patterns=() if repository else tuple(patterns),
        files=tuple(files),
        destination=f"/{absolute}",
        into_folder=into or not absolute,
    )


def _repository(instruction: Instruction, patterns: list[str]) -> GitAddress | None:
    """Return the Git repository that an ADD names, or None."""
    address = next((pattern for pattern in patterns if is_git(pattern)), None)
    if address is None or instruction.name != "ADD":
        return None
    if len(instruction.args) > 2:
        raise instruction.wrong(
            "ADD of a Git repository cannot have other sources.", hint="Write several ADD lines."
        )
    if instruction.switched("keep-git-dir"):
        raise instruction.wrong("--keep-git-dir is not supported.", hint="Remove it.")
    try:
        return GitAddress.parse(address)
    except ValueError as error:
        raise instruction.wrong(f"{address} cannot be fetched: {error}.") from None


def _content(body: Heredoc, raw: Words, instruction: Instruction) -> bytes:
    text = raw.expand(body.content, instruction) if body.expand else body.content
    return text.encode("utf-8", "surrogateescape")
