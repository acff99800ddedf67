"""Read releases and rollouts. Other modules get them only from here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar, cast

from django.conf import settings
from django.db.models import Model, QuerySet, Window
from django.db.models.functions import RowNumber

from portal.apps import secrets
from portal.apps.models import App
from portal.errors import NotFound
from portal.releases.models import FAILURES, Release, Rollout, RolloutState

T = TypeVar("T", bound=Model)
OPEN = tuple(state for state in RolloutState if not state.is_over)


def releases_of(app: App) -> QuerySet[Release]:
    """Return all releases of an app, newest first."""
    return Release.objects.filter(app=app).select_related("created_by", "build").order_by("-number")


def release_of(app: App, number: int) -> Release:
    """Return a release by its number. Raise NotFound otherwise."""
    release = releases_of(app).filter(number=number).first()
    if release is None:
        raise NotFound(
            f"{app.name} has no release v{number}.", hint="Check the list of its releases."
        )
    return release


def rollouts_of(app: App) -> QuerySet[Rollout]:
    """Return all rollouts of an app, newest first."""
    return (
        Rollout.objects.filter(release__app=app)
        .select_related("release", "release__build", "release__created_by")
        .order_by("-id")
    )


def open_rollout(app: App) -> Rollout | None:
    """Return the open rollout, if there is one. A newer rollout supersedes it when it is
    created."""
    return rollouts_of(app).filter(state__in=OPEN).first()


def intended_release(app: App) -> Release | None:
    """Return the release that the app should run: the one being rolled out, else the live one.
    Config changes are based on it."""
    rollout = open_rollout(app)
    return rollout.release if rollout is not None else app.current_release


def release_waiting_for(app: App, config: Mapping[str, str]) -> Release | None:
    """Return a deploy that failed because config vars were missing, if `config` now has all of
    them.

    None if the live release is newer.
    """
    since = app.current_release.build_id if app.current_release is not None else None
    stopped = (
        Release.objects.filter(app=app, build__id__gt=since or 0, rollouts__state__in=FAILURES)
        .order_by("-number")
        .first()
    )
    if (
        stopped is None
        or not stopped.declared.lacks(config_of_release(stopped))
        or stopped.declared.lacks(config)
    ):
        return None
    return stopped


def kept_releases(app: App) -> list[Release]:
    """Return the releases whose images are kept: the newest settings.KEPT_RELEASES, the live one
    and the one being rolled out."""
    return kept_releases_of([app])[app.pk]


def kept_releases_of(apps: Iterable[App]) -> dict[int, list[Release]]:
    """Return the same of many apps by row id, in as many queries as for one app."""
    apps = list(apps)
    ids = [app.pk for app in apps]
    releases = Release.objects.select_related("created_by", "build").defer(
        "encrypted_config", "app_file"
    )
    found: dict[int, list[Release]] = {pk: [] for pk in ids}
    for release in newest_of_each_app(
        releases.filter(app__in=ids), "-number", settings.KEPT_RELEASES
    ):
        found[release.app_id].append(release)
    known = {release.pk for kept in found.values() for release in kept}
    under_way = Rollout.objects.filter(release__app__in=ids, state__in=OPEN).values_list(
        "release_id", flat=True
    )
    live = {app.current_release_id for app in apps if app.current_release_id}
    for release in releases.filter(pk__in={*under_way, *live} - known).order_by("-number"):
        found[release.app_id].append(release)
    return found


def all_kept_releases() -> list[tuple[App, Release]]:
    """Return the same of every app that is not deleted, as pairs."""
    apps = list(App.objects.filter(deleted_at=None))
    kept = kept_releases_of(apps)
    return [(app, release) for app in apps for release in kept[app.pk]]


def newest_of_each_app(rows: QuerySet[T], order: str, most: int) -> QuerySet[T]:
    """Return at most `most` rows per app, the first by `order`, in one query."""
    rank = Window(RowNumber(), partition_by="app_id", order_by=order)
    return cast("QuerySet[T]", rows.annotate(rank=rank).filter(rank__lte=most).order_by(order))


def config_of_release(release: Release) -> dict[str, str]:
    """Return the release's config vars, decrypted."""
    return secrets.decrypt_config(release.encrypted_config)
