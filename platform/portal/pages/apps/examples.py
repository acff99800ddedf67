"""The example apps of examples/ as archives that a person can deploy with one click."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile

from portal.accounts.models import Person, Team
from portal.apps.models import App
from portal.builds import sources
from portal.builds.models import Build, Origin
from portal.deploys import actions
from portal.errors import NotFound
from portal.lifecycle.app_actions import create_app

# Folders that tools create inside an example.
_LEFT_OUT = frozenset({"node_modules", ".venv", "__pycache__", ".git", "target", "dist"})
_MOST_NAMES = 100  # tried for a second app of the same example


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """An example app: its folder's name, and the first sentence of its README."""

    name: str
    text: str


def examples() -> list[Example]:
    """Return all examples by name."""
    return [
        Example(name=readme.parent.name, text=_first_sentence(readme.read_text()))
        for readme in sorted(_folder().glob("*/README.md"))
    ]


def deploy_example(person: Person, *, team: Team, name: str) -> Build:
    """Create an app from an example and build it. If the name is in use, the app is named NAME-2
    and so on.

    Raise NotFound if there is no such example, and the errors of create_app and submit.
    """
    if name not in {example.name for example in examples()}:
        raise NotFound(f"There is no example {name}.", hint="Choose one of the list.")
    app = create_app(person, team=team, name=_free_name(name))
    filename = f"{name}.tar.gz"
    file = SimpleUploadedFile(filename, _archive(_folder() / name))
    source = sources.store_upload(file, filename=filename)
    return actions.submit(
        person, app=app, source=source, origin=Origin.UPLOAD, description=f"Example {name}"
    )


def _free_name(name: str) -> str:
    names = [name, *(f"{name}-{number}" for number in range(2, _MOST_NAMES))]
    used = set(App.objects.filter(name__in=names).values_list("name", flat=True))
    return next((free for free in names if free not in used), name)


def _archive(folder: Path) -> bytes:
    """Return the folder as a tar.gz. The same files give the same tar."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for path in _files(folder):
            member = archive.gettarinfo(path, arcname=str(path.relative_to(folder)))
            member.mtime = member.uid = member.gid = 0
            member.uname = member.gname = ""
            with path.open("rb") as file:
                archive.addfile(member, file)
    return data.getvalue()


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or path.name in _LEFT_OUT:
            continue
        if path.is_dir():
            yield from _files(path)
        else:
            yield path


def _first_sentence(readme: str) -> str:
    """Return the first sentence after the heading, without the marks of code."""
    _, _, rest = readme.partition("\n")
    paragraph = " ".join(rest.strip().split("\n\n")[0].split()).replace("`", "")
    first, full_stop, _ = paragraph.partition(". ")
    return first + full_stop.strip()


def _folder() -> Path:
    return Path(settings.ROOT) / "examples"
