"""Parse a Dockerfile into instructions. Pure.

e2b-dockerfile-utils does the parsing; it is a port of BuildKit's own parser and shell lexer.
For any text, the only error is BadSource, and it names the line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from e2b_dockerfile_utils import (
    DockerfileInstruction,
    DockerfileSyntaxError,
    ShellLex,
    chomp_heredoc_content,
    parse_dockerfile_ast,
)

from runtime.errors import BadSource

MAX_TEXT = 1 << 20  # bytes
_MAX_INSTRUCTIONS = 5000
_REFERENCE = "docs/dockerfile.md lists the instructions and their forms."
_FLAGS: Mapping[str, frozenset[str]] = {
    "FROM": frozenset({"platform"}),
    "RUN": frozenset({"mount", "network", "security"}),
    "COPY": frozenset({"from", "chown", "chmod", "link", "exclude", "parents"}),
    "ADD": frozenset({"chown", "chmod", "link", "exclude", "checksum", "keep-git-dir", "unpack"}),
    "HEALTHCHECK": frozenset({"interval", "timeout", "start-period", "start-interval", "retries"}),
}
_REPEATED = frozenset({"mount", "exclude"})
_SWITCHES = frozenset({"link", "parents", "keep-git-dir", "unpack"})
_LEAST = {
    "ADD": 2,
    "COPY": 2,
    "HEALTHCHECK": 1,
}  # minimum numbers of arguments; 0 for those of _MAY_BE_EMPTY, else 1
_MAY_BE_EMPTY = frozenset({"CMD", "ENTRYPOINT"})
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")  # JSON can write one; no file name has it
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Heredoc:
    """The text between <<NAME and NAME."""

    name: str
    content: str
    expand: bool  # NAME was not quoted


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One instruction as written, with its variables not yet replaced."""

    name: str  # in capitals
    flags: tuple[tuple[str, str], ...]
    args: tuple[str, ...]  # of ENV and LABEL: name, value, name, value
    exec_form: bool  # a JSON array
    heredocs: tuple[Heredoc, ...]
    text: str  # for messages: the line with its continuations joined
    line: int

    def flag(self, name: str) -> str | None:
        return next((value for key, value in self.flags if key == name), None)

    def every(self, name: str) -> tuple[str, ...]:
        return tuple(value for key, value in self.flags if key == name)

    def switched(self, name: str) -> bool:
        return self.flag(name) == "true"

    def wrong(self, what: str, *, hint: str = _REFERENCE) -> BadSource:
        """Return the error that names this line."""
        return BadSource(f"Dockerfile, line {self.line}: {what}", hint=hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A parsed Dockerfile."""

    instructions: tuple[Instruction, ...]
    escape: str
    warnings: tuple[str, ...] = ()


def parse(data: bytes | str) -> Script:
    """Parse a Dockerfile. BadSource names the line with the error."""
    text = data if isinstance(data, str) else _decode(data)
    if len(text) > MAX_TEXT:
        raise BadSource(
            f"The Dockerfile is larger than {MAX_TEXT >> 20} MiB.",
            hint="Move long texts into files, and COPY them.",
        )
    try:
        tree = parse_dockerfile_ast(text)
    except DockerfileSyntaxError as error:
        what = str(error).partition(": ")[2] or str(error)
        where = f"Dockerfile, line {error.line}" if error.line else "Dockerfile"
        raise BadSource(f"{where}: {what}.", hint=_REFERENCE) from None
    except (ValueError, RecursionError, IndexError) as error:
        raise BadSource(f"Could not parse the Dockerfile: {error}.", hint=_REFERENCE) from None
    if len(tree.instructions) > _MAX_INSTRUCTIONS:
        raise BadSource(
            f"The Dockerfile has more than {_MAX_INSTRUCTIONS} instructions.", hint="Split it."
        )
    read = tuple(_instruction(node) for node in tree.instructions)
    return Script(
        instructions=read,
        escape=tree.escape_token,
        warnings=tuple(f"line {warning.line}: {warning.message}" for warning in tree.warnings),
    )


def trigger(onbuild: Instruction, text: str, escape: str) -> Instruction:
    """Return the instruction of an ONBUILD.

    BadSource: none, several, or one that ONBUILD does not allow.
    """
    try:
        parsed = parse_dockerfile_ast(f"# escape={escape}\n{text}\n")
    except (ValueError, RecursionError, IndexError) as error:
        raise onbuild.wrong(
            f"ONBUILD has no valid instruction: {str(error).partition(': ')[2] or error}."
        ) from None
    if len(parsed.instructions) != 1:
        raise onbuild.wrong("ONBUILD needs one instruction after it.")
    found = _instruction(parsed.instructions[0], at=onbuild.line)
    if found.name in ("ONBUILD", "FROM", "MAINTAINER"):
        raise onbuild.wrong(
            f"ONBUILD {found.name} is not allowed.", hint="Write the instruction itself."
        )
    return found


class Words:
    """Replacement of variables and quotes as in BuildKit, with one set of values."""

    def __init__(self, escape: str, values: Mapping[str, str]) -> None:
        self._lexer = ShellLex(escape, env=values, skip_unset_env=False)

    def expand(self, text: str, of: Instruction) -> str:
        try:
            return self._lexer.process_word(text)
        except (ValueError, RecursionError, IndexError, re.error) as error:
            raise of.wrong(f"{str(error).rstrip('.')}.") from None

    def several(self, text: str, of: Instruction) -> list[str]:
        try:
            return list(self._lexer.process_words(text))
        except (ValueError, RecursionError, IndexError, re.error) as error:
            raise of.wrong(f"{str(error).rstrip('.')}.") from None


class Unquoted(Words):
    """Replacement in heredocs: variables are replaced, quotes stay."""

    def __init__(self, escape: str, values: Mapping[str, str]) -> None:
        super().__init__(escape, values)
        self._lexer = ShellLex(escape, env=values, skip_unset_env=False, skip_process_quotes=True)


def _decode(data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadSource("The Dockerfile is not UTF-8 text.", hint="Save it as UTF-8.") from None
    if "\0" in text:
        raise BadSource("The Dockerfile contains a zero byte.", hint="Save it as plain text.")
    return text


def _instruction(parsed: DockerfileInstruction, *, at: int | None = None) -> Instruction:
    name, args = parsed.name, tuple(parsed.args)
    if name in ("ENV", "LABEL"):  # triples: name, value, delimiter
        args = tuple(word for number, word in enumerate(args) if number % 3 != 2)
    elif name == "ONBUILD":
        args = tuple(parsed.original.strip().split(None, 1)[1:])
    bodies = tuple(
        Heredoc(
            name=heredoc.name,
            content=chomp_heredoc_content(heredoc.content) if heredoc.chomp else heredoc.content,
            expand=heredoc.expand,
        )
        for heredoc in parsed.heredocs
    )
    bare = Instruction(
        name=name,
        flags=(),
        args=args,
        exec_form=parsed.json,
        heredocs=bodies,
        text=parsed.original.strip(),
        line=at or parsed.start_line,
    )
    for word in args:
        if _HALF_CHARACTER.search(word):
            raise bare.wrong(
                f"{word[:80]!a} is not valid text: it has half of a character.",
                hint="Write the character itself instead of \\ud800 to \\udfff.",
            )
    least = _LEAST.get(name, 0 if name in _MAY_BE_EMPTY else 1)
    if len(args) < least:
        needs = "a source and a destination" if least == 2 else "an argument"
        raise bare.wrong(f"{name} needs {needs}.")
    if name in ("WORKDIR", "USER", "STOPSIGNAL", "ONBUILD") and not args[0].strip():
        raise bare.wrong(f"{name} needs an argument.")
    return Instruction(
        name=name,
        flags=_flags(bare, parsed.flags),
        args=args,
        exec_form=bare.exec_form,
        heredocs=bodies,
        text=bare.text,
        line=bare.line,
    )


def _flags(of: Instruction, words: list[str]) -> tuple[tuple[str, str], ...]:
    if of.name == "ONBUILD":
        return ()
    found: list[tuple[str, str]] = []
    for word in words:
        name, equals, value = word.removeprefix("--").partition("=")
        if name not in _FLAGS.get(of.name, ()):
            known = ", ".join(f"--{flag}" for flag in sorted(_FLAGS.get(of.name, ()))) or "none"
            raise of.wrong(f"{of.name} has no flag --{name}.", hint=f"Its flags are {known}.")
        if name in _SWITCHES:
            value = value.lower() if equals else "true"
            if value not in ("true", "false"):
                raise of.wrong(f"--{name} must be true or false, not {value!r}.")
        elif not value:
            raise of.wrong(f"--{name} needs a value.", hint=f"Write --{name}=VALUE.")
        if name not in _REPEATED and any(known == name for known, _ in found):
            raise of.wrong(f"--{name} is set twice.")
        found.append((name, value))
    return tuple(found)


def check_variable(name: str, of: Instruction) -> str:
    """Return a variable's name if it is valid, else raise BadSource."""
    if not name or "=" in name or "\0" in name:
        raise of.wrong(f"{name!r} is not a valid variable name.")
    return name


def check_stage_name(name: str, of: Instruction) -> str:
    if not _NAME.fullmatch(name):
        raise of.wrong(
            f"{name!r} is not a valid stage name.",
            hint="Start with a letter; then use letters, digits, - _ and .",
        )
    return name.lower()
