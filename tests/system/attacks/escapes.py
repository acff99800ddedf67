"""Attacks that try to leave the container.

They come from a deployed app, and from a build step that is root inside.
"""

from __future__ import annotations

import json

from tests.system.attacks.attack import Attack
from tests.system.attacks.range import PROGRAMS, Range


def from_app(place: Range) -> str:
    return _held(place.run("escapes", seconds=20))


def from_build(place: Range) -> str:
    files = {
        "Dockerfile": (
            "FROM python-3.13\nCOPY escapes.py /e.py\nRUN python3 /e.py 0 root\nCMD true\n"
        ),
        "escapes.py": (PROGRAMS / "escapes.py").read_text(),
    }
    build, log = place.build(files)
    assert build["state"] == "succeeded", f"{build['reason']} {log[-1000:]}"
    line = next((line for line in log.splitlines() if "a new user namespace" in line), "")
    assert line, log[-2000:]
    return _held(json.loads(line[line.index("{") :]))


def _held(found: dict[str, str]) -> str:
    worked = [name for name, outcome in found.items() if outcome == "worked"]
    assert len(found) > 40, found
    assert not worked, f"these worked: {', '.join(worked)}"
    return f"{len(found)} attempts, all refused"


ATTACKS = (
    Attack(
        kind="escapes",
        name="from an app",
        holds="namespaces, seccomp, no capabilities, masked paths",
        act=from_app,
    ),
    Attack(
        kind="escapes",
        name="from a build step as root",
        holds="the team's user namespace, seccomp, masked paths",
        act=from_build,
    ),
)
