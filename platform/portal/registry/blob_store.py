"""The storage of blobs. There are only files and no rows, so a crash leaves nothing to repair.

    received/TEAM-HEX           complete and verified, until it is part of a release; owned by the
                                portal
    served/APP/IMAGE/HEX        parts of released images, hard links into the node's store; owned by
                                root, readable
    served/APP/IMAGE/manifest   a link whose target is the hex of the manifest to serve for that
                                image
    served/APP/IMAGE/gzip       a link to the manifest of a copy with gzip layers, if there is one

A blob is visible only to the team that pushed it or that has a release with it. Knowing a digest
gives no access.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from portal.apps.models import App
from portal.errors import RegistryRefused
from portal.registry import aliases, manifests
from portal.registry.models import Attachment, Tag

UPLOADS, RECEIVED, SERVED = (
    Path(settings.REGISTRY) / name for name in ("uploads", "received", "served")
)
_IMAGE = re.compile(r"[0-9a-f]{64}")


def received(team: int, digest: str) -> Path:
    """Return the path of a received blob of a team, even if it does not exist yet. `digest` is the
    hex."""
    return RECEIVED / f"{team}-{digest}"


def find(app: App, digest: str) -> Path | None:
    """Return a blob that the app's team has. The app's own images are searched first."""
    if (path := received(app.team_id, digest)).exists():
        return path
    others = (
        App.objects.filter(team=app.team_id, deleted_at=None)
        .exclude(pk=app.pk)
        .values_list("pk", flat=True)
    )
    for owner in (app.pk, *others):
        for folder in images_of(owner):
            if (path := folder / digest).exists():
                return path
    return None


def find_own(app: App, digest: str) -> Path | None:
    """Return a manifest of this app, or one that its team has just pushed."""
    places = (received(app.team_id, digest), *(folder / digest for folder in images_of(app.pk)))
    return next((path for path in places if path.exists()), None)


def with_parts(team: int, *digests: str, most: int = sys.maxsize) -> dict[str, None]:
    """Return the hex of received manifests and of their parts, also of the manifests in an index.

    Another blob has no parts. Cycles and deep nesting end: each manifest is read once. Raise
    MANIFEST_INVALID if there are more than `most`.
    """
    found, waiting = dict.fromkeys(digests), list(digests)
    while waiting:
        if len(found) > most:
            raise RegistryRefused(
                "MANIFEST_INVALID",
                f"The manifest was refused. It and the manifests that it lists have more than"
                f" {most:,} parts.",
                status=400,
            )
        path = received(team, waiting.pop())
        try:
            if path.stat().st_size > manifests.LARGEST:
                continue
            document = aliases.resolved(team, manifests.parse(path.read_bytes()))
        except (FileNotFoundError, RegistryRefused):
            continue
        waiting += [entry.digest for entry in document.manifests if entry.digest not in found]
        found |= dict.fromkeys(part.digest for part in document.parts)
    return found


def needed(team: int) -> set[str]:
    """Return the hex of all blobs that attachments, indexes and tags of a team need."""
    attached = Attachment.objects.filter(app__team=team).values_list("blobs", flat=True)
    tagged = Tag.objects.filter(app__team=team).values_list("digest", flat=True).distinct()
    return {digest for blobs in attached for digest in blobs}.union(with_parts(team, *tagged))


def handed_out(app: App, image: str) -> Path | None:
    """Return the manifest to serve for a release's image, by the image's digest. None until the
    node has published it."""
    folder = SERVED / str(app.pk) / image.removeprefix("sha256:")
    try:
        return folder / os.readlink(folder / "manifest")  # noqa: PTH115  # the target is a text, not a path
    except FileNotFoundError:
        return None


def gzip_copy(folder: Path) -> Path | None:
    """Return the manifest of a published image's copy with gzip layers. None if there is none."""
    try:
        return folder / os.readlink(folder / "gzip")  # noqa: PTH115  # the target is a text, not a path
    except FileNotFoundError:
        return None


def size_of_copies(team: int) -> int:
    """Return the bytes of a team's copies with gzip layers. A layer of several images counts in
    each."""
    total = 0
    for app in App.objects.filter(team=team, deleted_at=None).values_list("pk", flat=True):
        for copy in filter(None, map(gzip_copy, images_of(app))):
            document = manifests.parse(copy.read_bytes())
            total += sum(
                layer.size for layer in document.layers if layer.media_type.endswith("gzip")
            )
    return total


def reachable(app: App) -> set[str]:
    """Return every hex that `find_own` finds."""
    mark = f"{app.team_id}-"
    names = {
        path.name.removeprefix(mark) for path in _files(RECEIVED) if path.name.startswith(mark)
    }
    return names | {path.name for folder in images_of(app.pk) for path in folder.iterdir()}


def all_of_team(team: int) -> set[str]:
    """Return every hex that a team has in any of its apps."""
    found: set[str] = set()
    for app in App.objects.filter(team=team, deleted_at=None):
        found |= reachable(app)
    return found


def images_of(app: int) -> list[Path]:
    """Return one folder per published image."""
    return [path for path in _files(SERVED / str(app)) if _IMAGE.fullmatch(path.name)]


def pending(team: int) -> int:
    """Return the bytes of a team that are not yet part of a release: open uploads and received
    blobs."""
    mark = f"{team}-"
    total = 0
    for folder in (UPLOADS, RECEIVED):
        for path in _files(folder):
            if path.name.startswith(mark):
                total += _size(path)
    return total


def keep(team: int, data: bytes) -> str:
    """Store a document. Return its hex."""
    digest = hashlib.sha256(data).hexdigest()
    draft = UPLOADS / f"{team}-document-{os.urandom(8).hex()}"
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        place(draft, team, digest)
    finally:
        draft.unlink(missing_ok=True)
    return digest


def place(draft: Path, team: int, digest: str) -> None:
    """Move a synced file with a verified digest to its permanent name. An identical existing file
    is replaced."""
    draft.chmod(0o640)
    draft.rename(received(team, digest))
    descriptor = os.open(RECEIVED, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def settle(app: App, image: str) -> None:
    """Remove the received blobs of an image that is now released and published. For the workers.

    Its parts stay for signatures, but not for a cover: the published ones are in its place.
    """
    rows = Attachment.objects.filter(app__team=app.team_id)
    attached = {digest for row in rows for digest in (row.blobs[:1] if row.is_cover else row.blobs)}
    for folder in images_of(app.pk):
        if (folder / image.removeprefix("sha256:")).exists():
            for path in folder.iterdir():
                if path.name not in attached:
                    received(app.team_id, path.name).unlink(missing_ok=True)


def _files(folder: Path) -> Iterator[Path]:
    try:
        yield from folder.iterdir()
    except FileNotFoundError:
        return


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # just completed, or cancelled
        return 0
