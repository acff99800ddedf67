"""The output of set-up: one line per step, with its duration.

A failed step shows its last output.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_KEPT = 200  # last lines of a step's output, shown when it fails
_WIDTH = 46


class SetupStep:
    """The current step. Its progress is one line on a terminal, and is not written to a file."""

    def __init__(self, title: str, out: TextIO) -> None:
        self._title, self._out = title, out
        self._live = out.isatty()
        self._kept: deque[str] = deque(maxlen=_KEPT)
        self.note = ""  # printed after the duration
        out.write(self._head())
        out.flush()

    def progress(self, text: str) -> None:
        """Show the current progress."""
        if self._live:
            room = max(10, shutil.get_terminal_size().columns - _WIDTH - 4)
            self._out.write(f"\r\x1b[K{self._head()}{text.strip()[:room]}")
            self._out.flush()

    def output(self, line: bytes) -> None:
        """Show a line of a program as progress, and keep it in case the step fails."""
        text = line.decode(errors="replace").rstrip()
        if text:
            self._kept.append(text)
            self.progress(text)

    def finish(self, seconds: float) -> None:
        note = f"  {self.note}" if self.note else ""
        self._out.write(f"{self._start()}{seconds:6.1f} s{note}\n")
        self._out.flush()

    def fail(self) -> None:
        self._out.write(f"{self._start()}failed\n")
        for line in self._kept:
            self._out.write(f"    {line}\n")
        self._out.flush()

    def _head(self) -> str:
        return f"  {self._title} ".ljust(_WIDTH, ".") + " "

    def _start(self) -> str:
        return f"\r\x1b[K{self._head()}" if self._live else ""


@contextmanager
def step(title: str, out: TextIO | None = None) -> Iterator[SetupStep]:
    """Print the title, run the block, and print the duration.

    On an error, print the step's output, and raise the error again.
    """
    current = SetupStep(title, out or sys.stdout)
    began = time.monotonic()
    try:
        yield current
    except BaseException:
        current.fail()
        raise
    current.finish(time.monotonic() - began)
