"""Define what the build of a language consists of: the members that each language module
implements. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from runtime.builds.languages.detect import Detected, Source
from runtime.builds.steps import Install
from runtime.errors import BadSource
from runtime.stacks.stack import DebianRuntime, Runtime

USUAL_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """The values that a language plans from."""

    source: Source
    detected: Detected
    commands: Mapping[
        str, str
    ]  # process type -> shell line, as the Procfile and the manifest declare them
    node_versions: Callable[
        [], list[str]
    ]  # all Node.js versions that exist; called only for unusual requirements
    pythons: Mapping[str, DebianRuntime]  # the available versions of Python


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtimes:
    """The layers that a language needs below the app, and the reason for the log."""

    main: Runtime | None
    words: str
    also: tuple[Runtime, ...] = ()  # further layers of the image, such as a package manager
    toolchain: Runtime | None = None  # the base of the install steps, if it differs from `main`


class Language(Protocol):
    """The build of one language.

    A language module inherits from this and overrides what differs from the defaults. The planner
    calls the members in the order below. Each raises BadSource for a fault of the source.
    """

    bare: bool = False  # the image has only the results of the steps: no stack, no code, no shell
    takes: str = ""  # the folder of the earlier stage that becomes the source

    def runtime(self, inputs: Inputs) -> Runtimes:
        """Return the runtime that the source requires."""
        ...

    def check(self, inputs: Inputs) -> None:
        """Raise BadSource if a setting or a command does not fit this language."""
        return

    def earlier(self, inputs: Inputs) -> Language | None:
        """Return the language of a stage that is built first. Of that stage, only the folder
        `takes` remains.
        """
        return None

    def installs(self, inputs: Inputs) -> tuple[Install, ...]:
        """Return the install steps."""
        return ()

    def web(self, source: Source) -> tuple[str, str] | None:
        """Return a web command by convention, and the reason; None if no file determines one."""
        return None

    def processes(self, inputs: Inputs) -> tuple[Mapping[str, str], tuple[str, ...]]:
        """Return the declared processes, and notes for the log.

        If there are none except a release phase, add a web process by convention, and a note about
        it.
        """
        if any(name != "release" for name in inputs.commands):
            return inputs.commands, ()
        default = self.web(inputs.source)
        if default is None:
            raise BadSource(
                "There is no Procfile, and no file that defines how to start the app.",
                hint="Add a Procfile with a line `web: COMMAND`.",
            )
        command, why = default
        return {**inputs.commands, "web": command}, (
            f"Web process: `{command}`, since {why}. Add a Procfile to change it.",
        )

    def environment(self, inputs: Inputs) -> dict[str, str]:
        """Return the variables of instances, PATH among them."""
        return {"PATH": USUAL_PATH}

    def left_out(self, inputs: Inputs) -> tuple[str, ...]:
        """Return the top folders of the source that do not go into the image."""
        return ()

    def notes(self, inputs: Inputs) -> tuple[str, ...]:
        """Return warnings and notes for the log."""
        return ()
