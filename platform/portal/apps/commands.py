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
    docker: str


def commands_for(person: Person, team_name: str, app_name: str) -> Commands:
    """Lines to paste into a shell."""
    host = urlsplit(settings.PORTAL_URL).netloc
    image = f"{host}/{team_name}/{app_name}:latest"
    return Commands(
        git=f"git remote add slipway {git_clone_url(person, app_name)}\ngit push slipway HEAD:main",
        upload=(
            f"git archive --format=tar.gz -o /tmp/{app_name}.tar.gz HEAD\n"
            f'curl -H "Authorization: Bearer $SLIPWAY_TOKEN" -F archive=@/tmp/{app_name}.tar.gz {settings.PORTAL_URL}/api/v1/apps/{app_name}/builds'
        ),
        docker=f"docker login -u {quote(person.username, safe='@.+-_')} {host}\ndocker build -t {image} .\ndocker push {image}",
    )


def git_clone_url(person: Person, app_name: str) -> str:
    """Where git pushes to, with the person's name in it so that git asks for the token alone."""
    address = urlsplit(settings.PORTAL_URL)
    return f"{address.scheme}://{quote(person.username, safe='')}@{address.netloc}/git/{app_name}.git"


def example_commands(person: Person, team_name: str) -> Commands:
    """The same for an app that is still to be made."""
    return commands_for(person, team_name, "my-app")


def max_upload() -> str:
    """How large an archive may be, in words."""
    return amounts.size(settings.MAX_UPLOAD)
