"""Compare two releases of an app: code, packages, config vars, process types and layers. Values of
config vars are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from portal.apps.models import App
from portal.builds.models import Build
from portal.deploys.code_change import forge_of_build
from portal.errors import NotFound
from portal.images.access import last_job, tags_of, view_of
from portal.images.actions import about_files
from portal.images.jobs import ChangedFile, changes_of
from portal.images.models import ImageJob, JobKind, JobState
from portal.images.sums import Compared, compared
from portal.releases.access import config_of_release, kept_releases, releases_of
from portal.releases.models import Release
from portal.releases.rollback_preview import Change, config_changes

MOST_CHOICES = 100  # releases in the chooser, the newest first
SHOWN_FILES = 100
SHOWN_PACKAGES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRow:
    """A process type in both releases. A command is empty if the release does not have the type; a
    count is that of the manifest, None if it has none."""

    name: str
    before: str
    after: str
    count_before: int | None
    count_after: int | None

    @property
    def is_changed(self) -> bool:
        return (self.before, self.count_before) != (self.after, self.count_after)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageRow:
    """A package whose version differs. An empty version means that it is not there."""

    system: str
    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRow:
    """The difference of a text file. `lines` are pairs of a kind (added, removed, place or same)
    and the line."""

    path: str
    lines: Sequence[tuple[str, str]]
    is_cut: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseComparison:
    """Both releases and what differs. `job` compares the files, or is None before it was asked
    for."""

    before: Release
    after: Release
    choices: Sequence[Release]
    compare_url: str  # of both commits at the Git host
    config: Sequence[tuple[str, Change]]
    processes: Sequence[ProcessRow]
    layers: Compared | None
    job: ImageJob | None
    can_compare_files: bool  # both images are kept

    @property
    def sides(self) -> tuple[tuple[str, int], ...]:
        """Return the names and values of the chooser's fields."""
        return ("before", self.before.number), ("after", self.after.number)

    @property
    def same_image(self) -> bool:
        return self.before.image == self.after.image

    @property
    def is_done(self) -> bool:
        """Return True if the files were compared, with packages and texts."""
        return (
            self.job is not None and self.job.state == JobState.DONE and "packages" in self.result
        )

    @property
    def result(self) -> dict[str, Any]:
        return self.job.result if self.job is not None else {}

    @property
    def files(self) -> list[ChangedFile]:
        """Return the first changed files. The page of the images has more."""
        return changes_of(self.job)[:SHOWN_FILES] if self.job is not None else []

    @property
    def more_files(self) -> int:
        total = sum(int(self.result.get(name, 0)) for name in ("added", "changed", "deleted"))
        return total - len(self.files)

    @property
    def packages(self) -> list[PackageRow]:
        return [
            PackageRow(system=system, name=name, before=before, after=after)
            for system, name, before, after in self.result.get("packages", ())[:SHOWN_PACKAGES]
        ]

    @property
    def more_packages(self) -> int:
        return len(self.result.get("packages", ())) - len(self.packages)

    @property
    def texts(self) -> list[TextRow]:
        return [
            TextRow(
                path=text["path"],
                lines=[(_kind(line), line) for line in text["lines"]],
                is_cut=text["is_cut"],
            )
            for text in self.result.get("texts", ())
        ]


def compare_releases(app: App, before: int, after: int) -> ReleaseComparison:
    """Compare two releases by their numbers. Raise NotFound if one of them does not exist."""
    choices = list(releases_of(app).defer("encrypted_config", "app_file")[:MOST_CHOICES])
    pair = {
        release.number: release for release in releases_of(app).filter(number__in=(before, after))
    }
    if missing := [number for number in (before, after) if number not in pair]:
        raise NotFound(
            f"{app.name} has no release v{missing[0]}.", hint="Choose one of the list of deploys."
        )
    old, new = pair[before], pair[after]
    kept = {release.image for release in kept_releases(app)}
    kept |= set(tags_of(app).values_list("digest", flat=True))
    return ReleaseComparison(
        before=old,
        after=new,
        choices=choices,
        compare_url=_compare_url(old.build, new.build),
        config=config_changes(config_of_release(old), config_of_release(new)),
        processes=_processes(old, new),
        layers=compared(view_of(app, old.image), view_of(app, new.image)),
        job=last_job(app, JobKind.COMPARE, about_files(old.image, new.image)),
        can_compare_files={old.image, new.image} <= kept,
    )


def _processes(old: Release, new: Release) -> list[ProcessRow]:
    counts = [
        {name: process.count for name, process in release.declared.processes.items()}
        for release in (old, new)
    ]
    return [
        ProcessRow(
            name=name,
            before=old.processes.get(name, ""),
            after=new.processes.get(name, ""),
            count_before=counts[0].get(name),
            count_after=counts[1].get(name),
        )
        for name in sorted({*old.processes, *new.processes})
    ]


def _compare_url(old: Build | None, new: Build | None) -> str:
    if old is None or new is None or not old.commit or not new.commit or old.commit == new.commit:
        return ""
    forge = forge_of_build(new)
    return forge.compare_url(old.commit, new.commit) if forge is not None else ""


def _kind(line: str) -> str:
    return {"+": "added", "-": "removed", "@": "place"}.get(line[:1], "same")
