"""The only way to manifests, tags and attachments."""

from __future__ import annotations

from pathlib import Path

from portal.apps.models import App
from portal.errors import NotFound, RegistryRefused
from portal.registry import shelf
from portal.registry.models import Attachment, Tag
from portal.registry.names import check_tag, hex_of, is_digest, release_number
from portal.releases.access import kept_releases, release_of


def manifest_path(app: App, reference: str) -> tuple[str, Path]:
    """Hex and file of a manifest, by tag, by digest, or by release (`v3`). MANIFEST_UNKNOWN."""
    if is_digest(reference):
        digest = hex_of(reference)
        path = shelf.find_own(app, digest)
    elif (number := release_number(check_tag(reference))) is not None:
        path = _of_release(app, number)
    else:
        tag = Tag.objects.filter(app=app, name=reference).first()
        path = shelf.find_own(app, tag.digest) if tag else None
    if path is None:
        raise _unknown(app, reference)
    return path.name.rpartition("-")[2], path


def tags_of(app: App) -> list[str]:
    """All names that can be pulled, in the order of their bytes."""
    there = shelf.reachable(app)
    named = [name for name, digest in Tag.objects.filter(app=app).values_list("name", "digest") if digest in there]
    numbered = [f"v{release.number}" for release in kept_releases(app) if shelf.handed_out(app, release.image) is not None]
    return sorted({*named, *numbered})


def attachments_of(app: App, subject: str, artifact_type: str = "") -> list[Attachment]:
    """What was attached to a manifest (hex), oldest first."""
    found = Attachment.objects.filter(app=app, subject=subject).order_by("pk")
    return list(found.filter(artifact_type=artifact_type) if artifact_type else found)


def blob_path(app: App, digest: str) -> tuple[str, Path]:
    """Hex and file of a blob that the app's team has. BLOB_UNKNOWN, the same for none and for another team's."""
    name = hex_of(digest)
    path = shelf.find(app, name)
    if path is None:
        raise RegistryRefused("BLOB_UNKNOWN", f"{app.team.name}/{app.name} has no blob {digest}.", status=404)
    return name, path


def _of_release(app: App, number: int) -> Path | None:
    try:
        return shelf.handed_out(app, release_of(app, number).image)
    except NotFound:
        return None


def _unknown(app: App, reference: str) -> RegistryRefused:
    return RegistryRefused(
        "MANIFEST_UNKNOWN",
        f"{app.team.name}/{app.name} has no image {reference[:140]}.",
        status=404,
        hint="The last releases have theirs, a few seconds after they are built; see the list of tags.",
    )
