"""The only way to releases and rollouts."""

from __future__ import annotations

from collections.abc import Mapping

from django.conf import settings
from django.db.models import QuerySet

from portal.apps import secrets
from portal.apps.models import App
from portal.errors import NotFound
from portal.releases.models import FAILURES, Release, Rollout, RolloutState

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
    newest = list(releases_of(app)[: settings.KEPT_RELEASES])
    known = {release.pk for release in newest}
    under_way = Rollout.objects.filter(release__app=app, state__in=OPEN).values_list("release_id", flat=True)
    needed = {*under_way, *((app.current_release_id,) if app.current_release_id else ())} - known
    return [*newest, *releases_of(app).filter(pk__in=needed)]


def config_of_release(release: Release) -> dict[str, str]:
    """Its config vars, decrypted."""
    return secrets.decrypt_config(release.encrypted_config)
