"""Sources as texts, and the build plans that they get."""

from __future__ import annotations

from runtime.builds.languages.detect import Source, wants_text
from runtime.builds.manifest import load
from runtime.builds.plan import BuildPlan, plan

VERSIONS = ["18.20.8", "20.11.1", "22.3.0", "22.4.0-rc.1", "24.1.0", "26.1.0"]


def planned(**files: str) -> BuildPlan:
    return plan(source(files), lambda: VERSIONS)


def source(files: dict[str, str]) -> Source:
    named = {name.replace("__", "/"): text for name, text in files.items()}
    app_file = load.read(
        {name: text.encode() for name, text in named.items() if name in load.NAMES}
    )
    return Source(
        files=frozenset(named),
        texts={name: text for name, text in named.items() if wants_text(name)},
        app_file=app_file,
    )


def of(files: dict[str, str]) -> BuildPlan:
    return plan(source(files), lambda: VERSIONS)


PROCFILE = {"Procfile": "web: start"}
