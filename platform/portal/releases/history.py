"""The deploy history of an app: each release with its rollout, and each build that did not become a
release."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from portal.accounts.models import Person
from portal.apps.models import App
from portal.builds.models import Build, BuildState
from portal.releases.access import config_of_release, newest_of_each_app, rollouts_of
from portal.releases.models import Release, Rollout, RolloutState
from portal.releases.timeline import TimelineStep, moments_of, steps_of

LONGEST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploy:
    """An entry of the history. `number` is None for a build without a release; `build` is None if
    nothing was built.

    `steps` is only set for a release without its own build. The page of a build shows the other
    steps.
    """

    number: int | None
    description: str
    state: str
    reason: str
    by: Person | None
    at: datetime
    took: timedelta | None
    build: Build | None
    steps: list[TimelineStep]
    is_current: bool
    can_roll_back: bool
    can_try_again: bool  # for the newest release, if its rollout failed
    previous: int | None = None  # the release that was live before; failed ones are skipped

    @property
    def image_name(self) -> str:
        """Return the name of its image."""
        return f"v{self.number}"

    @property
    def before(self) -> str:
        """Return the release to compare it with. Empty for the first release."""
        return f"v{self.previous}" if self.previous is not None else ""


def history_of(app: App, *, most: int = LONGEST) -> list[Deploy]:
    """Return the history, newest first."""
    return histories_of([app], most=most)[app.pk]


def histories_of(apps: Iterable[App], *, most: int) -> dict[int, list[Deploy]]:
    """Return the same of many apps by row id, in as many queries as for one app."""
    by_id = {app.pk: app for app in apps}
    rows = (
        Release.objects.filter(app__in=by_id)
        .select_related("created_by", "build")
        .defer("encrypted_config", "app_file")
    )
    releases: dict[int, list[Release]] = {pk: [] for pk in by_id}
    for release in newest_of_each_app(rows, "-number", most):
        releases[release.app_id].append(release)
    known = {release.pk for some in releases.values() for release in some}
    rollouts = {
        rollout.release_id: rollout
        for rollout in Rollout.objects.filter(release__in=known).order_by("id")
    }  # the newest is last
    entries: dict[int, list[Deploy]] = {
        pk: [
            _released(
                by_id[pk],
                release,
                rollouts.get(release.pk),
                is_newest=release.number == some[0].number,
                previous=_live_before(release, some, rollouts),
            )
            for release in some
        ]
        for pk, some in releases.items()
    }
    unreleased = Build.objects.filter(app__in=by_id, releases=None).select_related("created_by")
    for build in newest_of_each_app(unreleased, "-id", most):
        entries[build.app_id].append(_unreleased(build))
    return {
        pk: sorted(some, key=lambda entry: entry.at, reverse=True)[:most]
        for pk, some in entries.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Newest:
    """The newest rollout with all its steps."""

    number: int
    description: str
    state: RolloutState
    reason: str
    steps: list[TimelineStep]

    @property
    def is_over(self) -> bool:
        """Return True if its state cannot change any more."""
        return self.state.is_over


def newest_rollout(app: App) -> Newest | None:
    """Return the newest rollout, or None before the first one."""
    rollout = rollouts_of(app).first()
    if rollout is None:
        return None
    release = rollout.release
    return Newest(
        number=release.number,
        description=release.description,
        state=RolloutState(rollout.state),
        reason=rollout.reason,
        steps=steps_of([("Requested", rollout.created_at), *moments_of(rollout)]),
    )


def previous_good(app: App) -> Release | None:
    """Return the release to roll back to: the last release that was live before the current one.

    A release with the image, config vars and process types of the current one is left out: it
    already runs.
    """
    current = app.current_release
    if current is None:
        return None
    was_live = Release.objects.filter(app=app, rollouts__state=RolloutState.LIVE).exclude(
        pk=current.pk
    )
    config = config_of_release(current)
    for release in was_live.filter(number__lt=current.number).order_by("-number").distinct()[:100]:
        if (
            release.image != current.image
            or release.processes != current.processes
            or config_of_release(release) != config
        ):
            return release
    return None


def _live_before(
    release: Release, releases: Iterable[Release], rollouts: Mapping[int, Rollout]
) -> int | None:
    """Return the number of the last release before this one that was live."""
    live = (
        earlier.number
        for earlier in releases
        if earlier.number < release.number
        and earlier.pk in rollouts
        and rollouts[earlier.pk].state == RolloutState.LIVE
    )
    return max(live, default=None)


def _released(
    app: App, release: Release, rollout: Rollout | None, *, is_newest: bool, previous: int | None
) -> Deploy:
    # Only the deploy of a release links to its build's log. A config change or rollback only reuses
    # the image.
    built = release.build if release.description.startswith("Deploy") else None
    began = built.created_at if built is not None else release.created_at
    ended = rollout.finished_at if rollout is not None else None
    is_current = app.current_release_id == release.pk
    went_live = rollout is not None and rollout.state == RolloutState.LIVE
    return Deploy(
        number=release.number,
        description=release.description,
        state=(
            ("live" if is_current else "replaced")
            if went_live
            else rollout.state
            if rollout is not None
            else RolloutState.PENDING
        ),
        reason=rollout.reason if rollout is not None else "",
        by=release.created_by,
        at=began,
        took=ended - began if ended is not None else None,
        build=built,
        steps=(
            steps_of([("Made", release.created_at), *moments_of(rollout)])
            if rollout is not None and built is None
            else []
        ),
        is_current=is_current,
        can_roll_back=went_live and not is_current,
        can_try_again=is_newest and rollout is not None and RolloutState(rollout.state).has_failed,
        previous=previous,
    )


def _unreleased(build: Build) -> Deploy:
    began = build.started_at or build.created_at
    return Deploy(
        number=None,
        description=f"Deploy {build.description}".strip(),
        state=build.state if build.state != BuildState.SUCCEEDED else RolloutState.SUPERSEDED,
        reason=build.reason,
        by=build.created_by,
        at=build.created_at,
        took=build.finished_at - began if build.finished_at is not None else None,
        build=build,
        steps=[],
        is_current=False,
        can_roll_back=False,
        can_try_again=False,
    )
