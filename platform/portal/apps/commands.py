"""The commands a page shows beside its buttons, filled with this host and this person's names."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from django.conf import settings

from portal.accounts.models import Person
from portal.quotas import amounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """Ways into one app without a mouse. `TOKEN` stands where a token goes."""

    git: str
    upload: str


def commands_for(person: Person, app_name: str) -> Commands:
    """Lines to paste into a shell."""
    return Commands(
        git=f"git remote add slipway {git_clone_url(person, app_name)}\ngit push slipway HEAD:main",
        upload=(
            f"git archive --format=tar.gz -o /tmp/{app_name}.tar.gz HEAD\n"
            f'curl -H "Authorization: Bearer $SLIPWAY_TOKEN" -F archive=@/tmp/{app_name}.tar.gz {settings.PORTAL_URL}/api/apps/{app_name}/builds'
        ),
    )


def git_clone_url(person: Person, app_name: str) -> str:
    """Where git pushes to, with the person's name in it so that git asks for the token alone."""
    address = urlsplit(settings.PORTAL_URL)
    return f"{address.scheme}://{quote(person.username, safe='')}@{address.netloc}/git/{app_name}.git"


def example_commands(person: Person) -> Commands:
    """The same for an app that is still to be made."""
    return commands_for(person, "my-app")


def max_upload() -> str:
    """How large an archive may be, in words."""
    return amounts.size(settings.MAX_UPLOAD)
