"""The stacks and languages of this node: those of the release, overridden by the operator's own
files in STATE/stacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from runtime.config import NodeConfig
from runtime.errors import BadSource, BadStack
from runtime.stacks.definition import SHIPPED
from runtime.stacks.languages import DOCKERFILE_RUNTIMES
from runtime.stacks.parsing import StackFile, parse
from runtime.stacks.stack import DebianRuntime, Runtime, Stack
from runtime.stacks.static import STATIC


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The stacks and languages that a build may use."""

    stacks: Mapping[str, Stack]
    languages: Mapping[str, DebianRuntime]  # by name, such as python-3.13

    @property
    def pythons(self) -> dict[str, DebianRuntime]:
        """Return the Pythons by version, such as 3.13."""
        return {
            name.removeprefix("python-"): language
            for name, language in self.languages.items()
            if name.startswith("python-")
        }

    def stack(self, name: str) -> Stack:
        """Return a stack. BadSource: no stack has that name; the error lists all names."""
        if name not in self.stacks:
            raise BadSource(
                f"Stack {name!r} does not exist.", hint=f"Choose one of: {', '.join(self.stacks)}."
            )
        return self.stacks[name]

    def current(self, runtime: Runtime) -> Runtime:
        """Return the language on its stack as this node defines it."""
        return (
            replace(runtime, stack=self.stack(runtime.stack.name))
            if isinstance(runtime, DebianRuntime)
            else runtime
        )


def offer(config: NodeConfig) -> Offer:
    """Read the files, so that a new file is used from the next build on.

    BadStack names a file that is not readable.
    """
    files = {file.stack.name: file for file in SHIPPED}
    files |= {file.stack.name: file for file in _operator_stacks(config)}
    of_files = (language for file in files.values() for language in file.languages)
    languages = {language.name: language for language in (*of_files, STATIC, *DOCKERFILE_RUNTIMES)}
    return Offer(stacks={name: file.stack for name, file in files.items()}, languages=languages)


def _operator_stacks(config: NodeConfig) -> list[StackFile]:
    found = []
    for path in sorted(config.stacks.glob("*.toml")):
        try:
            found.append(parse(path.read_text(), path.name))
        except (OSError, UnicodeDecodeError) as error:
            raise BadStack(
                f"Could not read {path}: {error}.", hint="Correct the file, or remove it."
            ) from None
    return found
