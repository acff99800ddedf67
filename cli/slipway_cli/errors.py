"""The failure of a command: a sentence, a remedy and an exit code."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes. docs/cli.md lists them."""

    DONE = 0
    FAILED = 1  # the platform refused, or a deploy failed
    USAGE = 2  # a wrong option or argument
    NOT_SIGNED_IN = 3
    NO_CONNECTION = 4
    NOT_FOUND = 5
    INTERRUPTED = 130  # Ctrl-C


class CommandFailed(Exception):
    """Ends the command. `hint` says how to fix it."""

    def __init__(self, sentence: str, *, hint: str = "", code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint
        self.code = code
