"""Read manifests, tags and attachments. Other modules get them only from here."""

from __future__ import annotations

from pathlib import Path

from portal.accounts.access import teams_of
from portal.accounts.models import Person
from portal.apps.models import App
from portal.errors import NotFound, RegistryRefused
from portal.registry import aliases, blob_store
from portal.registry.models import Attachment, Tag
from portal.registry.names import check_tag, hex_of, is_digest, release_number
from portal.releases.access import kept_releases, release_of


def manifest_path(app: App, reference: str) -> tuple[str, Path]:
    """Return the hex and file of a manifest, by tag, digest or release (`v3`). Raise
    MANIFEST_UNKNOWN otherwise."""
    if is_digest(reference):
        digest = aliases.stored_hex(app.team_id, hex_of(reference))
        path = blob_store.find_own(app, digest)
    elif (number := release_number(check_tag(reference))) is not None:
        path = _of_release(app, number)
    else:
        tag = Tag.objects.filter(app=app, name=reference).first()
        path = blob_store.find_own(app, tag.digest) if tag else None
    if path is None:
        raise _unknown(app, reference)
    return path.name.rpartition("-")[2], path


def tags_of(app: App) -> list[str]:
    """Return all names that can be pulled, in byte order."""
    there = blob_store.reachable(app)
    named = [
        name
        for name, digest in Tag.objects.filter(app=app).values_list("name", "digest")
        if digest in there
    ]
    numbered = [
        f"v{release.number}"
        for release in kept_releases(app)
        if blob_store.handed_out(app, release.image) is not None
    ]
    return sorted({*named, *numbered})


def repositories_of(person: Person) -> list[str]:
    """Return the repositories of the person's teams as TEAM/APP, in byte order."""
    apps = App.objects.filter(deleted_at=None, team__in=teams_of(person))
    return sorted(f"{team}/{name}" for team, name in apps.values_list("team__name", "name"))


def attachments_of(app: App, subject: str, artifact_type: str = "") -> list[Attachment]:
    """Return the attachments of a manifest (hex), oldest first."""
    names = aliases.names_of(app.team_id, subject)
    found = Attachment.objects.filter(app=app, subject__in=names).order_by("pk")
    return list(found.filter(artifact_type=artifact_type) if artifact_type else found)


def blob_path(app: App, digest: str) -> tuple[str, Path]:
    """Return the hex and file of a blob that the app's team has.

    Raise BLOB_UNKNOWN otherwise. The error is the same for a missing blob and for a blob of another
    team.
    """
    name = aliases.stored_hex(app.team_id, hex_of(digest))
    path = blob_store.find(app, name)
    if path is None:
        raise RegistryRefused(
            "BLOB_UNKNOWN", f"{app.team.name}/{app.name} has no blob {digest}.", status=404
        )
    return name, path


def has_blob(app: App, digest: str) -> bool:
    """Return whether the app's team has the blob."""
    return blob_store.find(app, aliases.stored_hex(app.team_id, hex_of(digest))) is not None


def _of_release(app: App, number: int) -> Path | None:
    try:
        return blob_store.handed_out(app, release_of(app, number).image)
    except NotFound:
        return None


def _unknown(app: App, reference: str) -> RegistryRefused:
    return RegistryRefused(
        "MANIFEST_UNKNOWN",
        f"{app.team.name}/{app.name} has no image {reference[:140]}.",
        status=404,
        hint=(
            "Only the last releases have an image, a few seconds after the build. See the list of"
            " tags."
        ),
    )
