"""Read builds. Other modules get them only from here."""

from __future__ import annotations

from django.db.models import QuerySet

from portal.accounts.models import Person
from portal.apps.access import app_for
from portal.apps.models import App
from portal.builds.models import Build, Repository
from portal.errors import NotFound
from portal.releases.models import Rollout


def builds_of(app: App) -> QuerySet[Build]:
    """Return all builds of an app, newest first."""
    return Build.objects.filter(app=app).select_related("source", "created_by").order_by("-id")


def build_for(person: Person, app_name: str, id: int) -> Build:
    """Return a build of an app that the person may see. Raise NotFound otherwise."""
    build = (
        builds_of(app_for(person, app_name))
        .select_related("app", "app__team")
        .filter(pk=id)
        .first()
    )
    if build is None:
        raise NotFound(f"{app_name} has no build {id}.", hint="Check the app's list of deploys.")
    return build


def rollout_of(build: Build) -> Rollout | None:
    """Return the last rollout of the build's release.

    None before the build succeeded, or if a later build was released first.
    """
    return (
        Rollout.objects.filter(release__build=build)
        .select_related("release")
        .order_by("release__number", "-id")
        .first()
    )


def repository_of(app: App) -> Repository | None:
    """Return the Git repository that the app is deployed from, or None."""
    return Repository.objects.filter(app=app).first()
