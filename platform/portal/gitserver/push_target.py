"""Find the app that a git URL names, or prepare and create it for a first push.

A URL is /git/APP.git or /git/TEAM/APP.git. An app of another team is "not found", as everywhere.
"""

from __future__ import annotations

from enum import StrEnum

from django.db import transaction

from portal.accounts.access import team_for, teams_of
from portal.accounts.models import Person, Team
from portal.apps.access import app_for
from portal.apps.models import App
from portal.apps.names import check_app_name, check_label
from portal.errors import Conflict, NotFound, Refused
from portal.lifecycle.app_actions import create_app
from portal.quotas import decision


class Created(StrEnum):
    """The creation of an app by a push: none, or how its team was chosen."""

    NO = "no"
    IN_ONLY_TEAM = "in-only-team"  # of the person, or the team of the URL
    IN_FIRST_TEAM = "in-first-team"  # the URL names no team, and the person has several


def existing(person: Person, name: str, *, team: str = "") -> App:
    """Return the app of a git URL. Raise NotFound if it does not exist or the person has no access,
    and NameRefused if the name cannot be an app's."""
    if team:
        team_for(person, team)
    app = app_for(person, check_label(name, what="app"))
    if team and app.team.name != team:
        raise NotFound(
            f"App {app.name} is not in team {team}, but in team {app.team.name}.",
            hint="Change the team in the URL, or leave it out.",
        )
    return app


def existing_or_new(person: Person, name: str, *, team: str = "") -> App:
    """Return the app of a git URL, or an unsaved App if a push may create it. Raise Refused if it
    may not."""
    try:
        return existing(person, name, team=team)
    except NotFound as missing:
        return _new(person, name.strip(), team, missing)


def is_new(app: App) -> bool:
    """Return True if the app of `existing_or_new` does not exist yet."""
    return app._state.adding  # the documented way to ask (docs.djangoproject.com, Model._state)


def create(person: Person, new: App, *, team: str = "") -> tuple[App, Created]:
    """Create the app of `existing_or_new`. If another push created it first, return that app."""
    try:
        app = create_app(person, team=new.team, name=new.name)
    except Refused as refused:
        try:
            return existing(person, new.name, team=team), Created.NO
        except NotFound:
            raise refused from None
    has_choice = not team and teams_of(person).count() > 1
    return app, Created.IN_FIRST_TEAM if has_choice else Created.IN_ONLY_TEAM


@transaction.atomic
def _new(person: Person, name: str, team: str, missing: NotFound) -> App:
    owner = _team(person, team, missing)
    if (other := App.objects.filter(name=name).first()) is not None:
        if other.deleted_at is not None and other.team_id == owner.pk:
            raise Conflict(f"App {name} is still being deleted.", hint="Push again in a moment.")
        raise missing
    name = check_app_name(name)
    decision.check_new_app(owner)
    return App(team=owner, name=name)


def _team(person: Person, team: str, missing: NotFound) -> Team:
    """Return the team of a new app: the one of the URL, or else the person's first by name."""
    if team:
        return team_for(person, team)
    first = teams_of(person).first()
    if first is None:
        raise NotFound(
            missing.sentence,
            hint=(
                "You are not in a team, so a push cannot create it. Push to /git/TEAM/APP.git."
                if person.is_staff
                else "You are not in a team, so a push cannot create it. Ask a team's owner to add"
                " you."
            ),
        )
    return first
