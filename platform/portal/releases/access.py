"""The only way to releases and rollouts."""

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
    """All releases, newest first."""
    return Release.objects.filter(app=app).select_related("created_by", "build").order_by("-number")


def release_of(app: App, number: int) -> Release:
    """One release by number."""
    release = releases_of(app).filter(number=number).first()
    if release is None:
        raise NotFound(f"{app.name} has no release v{number}.", hint="Look at the list of its releases.")
    return release


def rollouts_of(app: App) -> QuerySet[Rollout]:
    """All rollouts, newest first."""
    return Rollout.objects.filter(release__app=app).select_related("release", "release__build", "release__created_by").order_by("-id")


def open_rollout(app: App) -> Rollout | None:
    """The one under way, if any: a newer one supersedes its predecessor when it is made."""
    return rollouts_of(app).filter(state__in=OPEN).first()


def intended_release(app: App) -> Release | None:
    """What the app is to become: the release on its way, else the live one. A config change builds on this."""
    rollout = open_rollout(app)
    return rollout.release if rollout is not None else app.current_release


def release_waiting_for(app: App, config: Mapping[str, str]) -> Release | None:
    """A deploy that was stopped for want of a config var, if it is newer than what is live and `config` has all it lacked."""
    since = app.current_release.build_id if app.current_release is not None else None
    stopped = Release.objects.filter(app=app, build__id__gt=since or 0, rollouts__state__in=FAILURES).order_by("-number").first()
    if stopped is None or not stopped.declared.lacks(config_of_release(stopped)) or stopped.declared.lacks(config):
        return None
    return stopped


def kept_releases(app: App) -> list[Release]:
    """Those whose images stay: the newest settings.KEPT_RELEASES, the live one, and what is on its way."""
    return kept_releases_of([app])[app.pk]


def kept_releases_of(apps: Iterable[App]) -> dict[int, list[Release]]:
    """The same of many apps by row id, in as many queries as for one."""
    apps = list(apps)
    ids = [app.pk for app in apps]
    releases = Release.objects.select_related("created_by", "build").defer("encrypted_config", "app_file")
    found: dict[int, list[Release]] = {pk: [] for pk in ids}
    for release in newest_of_each_app(releases.filter(app__in=ids), "-number", settings.KEPT_RELEASES):
        found[release.app_id].append(release)
    known = {release.pk for kept in found.values() for release in kept}
    under_way = Rollout.objects.filter(release__app__in=ids, state__in=OPEN).values_list("release_id", flat=True)
    live = {app.current_release_id for app in apps if app.current_release_id}
    for release in releases.filter(pk__in={*under_way, *live} - known).order_by("-number"):
        found[release.app_id].append(release)
    return found


def all_kept_releases() -> list[tuple[App, Release]]:
    """The same of every app that is not deleted."""
    apps = list(App.objects.filter(deleted_at=None))
    kept = kept_releases_of(apps)
    return [(app, release) for app in apps for release in kept[app.pk]]


def newest_of_each_app(rows: QuerySet[T], order: str, most: int) -> QuerySet[T]:
    """Return at most so many rows of each app, the first by `order`, in one query."""
    rank = Window(RowNumber(), partition_by="app_id", order_by=order)
    return cast("QuerySet[T]", rows.annotate(rank=rank).filter(rank__lte=most).order_by(order))


def config_of_release(release: Release) -> dict[str, str]:
    """Its config vars, decrypted."""
    return secrets.decrypt_config(release.encrypted_config)
