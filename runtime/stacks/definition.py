"""The stacks and languages of this release: the stacks of `definitions/`, their languages, Node.js,
and Git for build steps.
"""

from __future__ import annotations

from pathlib import Path

from runtime.stacks.parsing import parse
from runtime.stacks.stack import DebianRuntime, NodeRuntime, Runtime, Stack

SHIPPED = tuple(
    parse(path.read_text(), path.name)
    for path in sorted((Path(__file__).parent / "definitions").glob("*.toml"))
)
STACKS = {file.stack.name: file.stack for file in SHIPPED}
DEBIAN_12, DEBIAN_13 = STACKS["debian-12"], STACKS["debian-13"]
PYTHON_DEFAULT = "3.13"
PYTHON = {
    language.name.removeprefix("python-"): language
    for file in SHIPPED
    for language in file.languages
    if language.name.startswith("python-")
}


def stack_of(runtime: Runtime | None) -> Stack:
    """Return the stack of a language.

    For Node.js, and without a language, it is the default stack.
    """
    return runtime.stack if isinstance(runtime, DebianRuntime) else DEBIAN_13


NODE_NPM = "10.9.9"  # runs on every Node.js version below
NODE_DEFAULT = "22.23.3"
NODE_NEWEST = (
    "18.20.8",
    "20.20.2",
    NODE_DEFAULT,
    "24.21.0",
    "26.12.1",
)  # the newest version that we build with, for each major version
NODE_MAJORS = (18, 20, 22, 24, 26)
NODE_OLDEST = NODE_MAJORS[0]  # later versions are used too if the registry has them
NODE_LTS = {
    "argon": 4,
    "boron": 6,
    "carbon": 8,
    "dubnium": 10,
    "erbium": 12,
    "fermium": 14,
    "gallium": 16,
    "hydrogen": 18,
    "iron": 20,
    "jod": 22,
    "krypton": 24,
}  # name of a release with long-term support -> its major version (nodejs.org/dist/index.json)
_EARLY_NPM = "9.9.4"  # for versions of Node.js that NODE_NPM refuses


def node(version: str) -> NodeRuntime:
    major, minor = (int(part) for part in version.split(".")[:2])
    is_early = (major, minor) < (18, 17) or (19, 0) <= (major, minor) < (20, 5)
    return NodeRuntime(version=version, npm=_EARLY_NPM if is_early else NODE_NPM)


GIT = DebianRuntime(
    name="git", stack=DEBIAN_13, packages=("git",)
)  # for steps that get a dependency from a repository; on any stack
