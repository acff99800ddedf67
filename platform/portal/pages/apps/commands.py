"""Build the command lines that pages show, with this host and the person's names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from django.conf import settings

from portal.accounts.models import Person
from portal.apps.branches import shown
from portal.quotas import amounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """Commands that deploy to an app. `TOKEN` is the place for a token."""

    git: str
    upload: str
    docker: str


def commands_for(person: Person, team_name: str, app_name: str, *, branch: str = "") -> Commands:
    """Return command lines to paste into a shell. `branch` is the app's deployed branch."""
    host = urlsplit(settings.PORTAL_URL).netloc
    image = f"{host}/{team_name}/{app_name}:latest"
    return Commands(
        git=(
            f"git remote add slipway {git_clone_url(person, app_name)}\n"
            f"git push slipway HEAD:{shown(branch)}"
        ),
        upload=(
            f"git archive --format=tar.gz -o /tmp/{app_name}.tar.gz HEAD\n"
            f'curl -H "Authorization: Bearer $SLIPWAY_TOKEN" -F archive=@/tmp/{app_name}.tar.gz'
            f" {settings.PORTAL_URL}/api/v1/apps/{app_name}/builds"
        ),
        docker=(
            f"docker login -u {quote(person.username, safe='@.+-_')} {host}\ndocker build -t"
            f" {image} .\ndocker push {image}"
        ),
    )


def git_clone_url(person: Person, app_name: str) -> str:
    """Return the URL to push to. It contains the person's name, so that git asks only for the
    token."""
    address = urlsplit(settings.PORTAL_URL)
    return (
        f"{address.scheme}://{quote(person.username, safe='')}@{address.netloc}/git/{app_name}.git"
    )


def new_app_commands(person: Person, team_name: str, app_name: str, *, token: str = "") -> Commands:
    """Return command lines that create the app and deploy to it. The push of git creates the app
    itself.

    `token` is put into the commands. Without one, git and Docker ask for it, and the API needs it
    in SLIPWAY_TOKEN.
    """
    address = urlsplit(settings.PORTAL_URL)
    user = quote(person.username, safe="")
    credentials = f"{user}:{token}" if token else user
    remote = f"{address.scheme}://{credentials}@{address.netloc}/git/{team_name}/{app_name}.git"
    known = commands_for(person, team_name, app_name)
    create = (
        f'curl -H "Authorization: Bearer $SLIPWAY_TOKEN" -H "Content-Type: application/json"'
        f' -d \'{{"name": "{app_name}", "team": "{team_name}"}}\' {settings.PORTAL_URL}/api/v1/apps'
    )
    export = f"export SLIPWAY_TOKEN={token}\n" if token else ""
    login, _, push = known.docker.partition("\n")
    piped = 'echo "$SLIPWAY_TOKEN" | ' + login.replace("login", "login --password-stdin")
    return Commands(
        git=f"git remote add slipway {remote}\ngit push slipway HEAD:main",
        upload=f"{export}{create}\n{known.upload}",
        docker=f"{export}{create}\n{piped if token else login}\n{push}",
    )


def max_upload() -> str:
    """Return the maximum size of an archive, in words."""
    return amounts.size(settings.MAX_UPLOAD)


def cli_install() -> str:
    """Return the line that installs the command line from this portal, or an empty text if set-up
    has not built its package."""
    wheel = next((file.name for file in Path(settings.CLI_FOLDER).glob("*.whl")), None)
    return f"uv tool install {settings.PORTAL_URL}/static/cli/{quote(wheel)}" if wheel else ""
