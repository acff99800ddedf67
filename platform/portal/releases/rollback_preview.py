"""Compare what runs with an earlier release, before a rollback. Values of config vars are left
out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from portal.apps.config import config_of
from portal.apps.models import App
from portal.releases.access import config_of_release, release_of
from portal.releases.models import Release

Change = Literal["added", "removed", "changed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessChange:
    """The command of a process type now and after the rollback. Empty if there is none."""

    process: str
    now: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackPreview:
    """The effect of a rollback. `config` is the effect of also taking the old config vars."""

    release: Release
    same_code: bool
    processes: tuple[ProcessChange, ...]
    config: tuple[tuple[str, Change], ...]


def preview_of(app: App, number: int) -> RollbackPreview:
    """Return the effect of a rollback to a release. Raise NotFound if it does not exist."""
    old, current = release_of(app, number), app.current_release
    return RollbackPreview(
        release=old,
        same_code=current is not None and current.image == old.image,
        processes=process_changes(current.processes if current else {}, old.processes),
        config=config_changes(config_of(app), config_of_release(old)),
    )


def process_changes(now: Mapping[str, str], after: Mapping[str, str]) -> tuple[ProcessChange, ...]:
    """Return the process types whose command changes, by name."""
    return tuple(
        ProcessChange(process=name, now=now.get(name, ""), after=after.get(name, ""))
        for name in sorted({*now, *after})
        if now.get(name) != after.get(name)
    )


def config_changes(
    now: Mapping[str, str], after: Mapping[str, str]
) -> tuple[tuple[str, Change], ...]:
    """Return the names of config vars that differ, and how."""
    return tuple(
        (name, "added" if name not in now else "removed" if name not in after else "changed")
        for name in sorted({*now, *after})
        if now.get(name) != after.get(name)
    )
