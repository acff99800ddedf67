"""The rules for new values of volumes, as errors of the portal. The node checks them again."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from portal.apps.models import App
from portal.apps.volumes import Volume
from portal.errors import Conflict, NameRefused, ValueRefused
from runtime.contract import volumes
from runtime.contract.volumes import MOST_VOLUMES, overlapping

T = TypeVar("T")
V = TypeVar("V")
_PROCESS = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
MOST_PROCESSES = 30


def checked_name(name: str) -> str:
    """Return the name of a new volume."""
    return _checked("name", volumes.checked_name, name.strip())


def checked_path(path: str) -> str:
    """Return the path, without a slash at its end."""
    return _checked("path", volumes.checked_path, path.strip())


def checked_size(size: int) -> int:
    """Return the size in bytes."""
    return int(_checked("size", volumes.checked_size, size))


def checked_processes(processes: Sequence[str]) -> list[str]:
    """Return the process types, each once and sorted. They need not exist yet."""
    for process in processes:
        if not _PROCESS.fullmatch(process):
            raise ValueRefused(
                f"{process[:60]!r} is not a valid process type.",
                field="processes",
                hint="Use names from the Procfile, such as web.",
            )
    if len(processes) > MOST_PROCESSES:
        raise ValueRefused(
            f"A volume has at most {MOST_PROCESSES} process types.", field="processes"
        )
    return sorted(set(processes))


def check_place(app: App, name: str, path: str, *, besides: Volume | None = None) -> None:
    """Check that a volume with this name and path fits next to the app's other volumes."""
    others = [row for row in Volume.objects.filter(app=app) if besides is None or row != besides]
    if len(others) >= MOST_VOLUMES:
        raise Conflict(
            f"{app.name} already has {MOST_VOLUMES} volumes, which is the maximum.",
            hint="Detach or delete one of them.",
        )
    if any(row.name == name for row in others):
        raise NameRefused(f"{app.name} already has a volume {name}.", hint="Choose another name.")
    if other := overlapping(path, [row.path for row in others]):
        raise ValueRefused(
            f"{app.name} already has a volume at {other}, which is the same folder as {path}, or"
            " one of them is inside the other.",
            field="path",
            hint="Choose another path.",
        )


def _checked(field: str, check: Callable[[V], T], value: V) -> T:
    try:
        return check(value)
    except ValueError as error:
        text = str(error)
        raise ValueRefused(f"{text[0].upper()}{text[1:]}.", field=field) from None
