"""Delete manifests, tags and blobs (distribution-spec, "Content Management").

What a deletion names is gone at once. What belongs to a kept release stays until that release is no
longer kept. Parts of a deleted manifest that nothing else needs are removed by the next sweep.
"""

from __future__ import annotations

from django.db import transaction

from portal.accounts.access import require_member
from portal.accounts.models import Person
from portal.activity import audit
from portal.apps.models import App
from portal.builds.models import Build, BuildState
from portal.errors import RegistryRefused
from portal.registry import aliases, blob_store, manifests
from portal.registry.models import Attachment, Tag
from portal.registry.names import check_tag, digest_of, release_number


@transaction.atomic
def delete_tag(actor: Person, *, app: App, name: str) -> None:
    """Delete a tag. The manifest stays. Raise UNSUPPORTED for the tag of a release."""
    require_member(actor, app.team)
    if release_number(check_tag(name)) is not None:
        raise _kept(f"The tag {name} belongs to a release.")
    deleted, _ = Tag.objects.filter(app=app, name=name).delete()
    if not deleted:
        raise _unknown("MANIFEST_UNKNOWN", app, f"tag {name}")
    audit.record(actor, f"deleted the registry tag {name}", app=app)


@transaction.atomic
def delete_manifest(actor: Person, *, app: App, digest: str) -> None:
    """Delete a manifest and its tags. Raise UNSUPPORTED if a release has it, or it is deployed
    now. `digest` is the hex."""
    require_member(actor, app.team)
    digest = aliases.stored_hex(app.team_id, digest)
    if _is_released(app, digest):
        raise _kept(f"sha256:{digest} is the image of a release.")
    if _is_deployed_now(app, digest):
        raise RegistryRefused(
            "UNSUPPORTED",
            f"sha256:{digest} is being deployed.",
            status=405,
            hint="Wait until the build has ended, or cancel it.",
        )
    path = blob_store.received(app.team_id, digest)
    attached, _ = Attachment.objects.filter(app=app, digest=digest).delete()
    tags, _ = Tag.objects.filter(app=app, digest=digest).delete()
    if not attached and not tags and not _is_manifest(app, digest):
        raise _unknown("MANIFEST_UNKNOWN", app, f"manifest {digest_of(digest)}")
    if digest not in blob_store.needed(app.team_id):
        path.unlink(missing_ok=True)
    audit.record(actor, f"deleted the manifest sha256:{digest[:12]}", app=app)


@transaction.atomic
def delete_blob(actor: Person, *, app: App, digest: str) -> None:
    """Delete a received blob. Raise UNSUPPORTED if a manifest or a release needs it."""
    require_member(actor, app.team)
    digest = aliases.stored_hex(app.team_id, digest)
    if blob_store.find(app, digest) is None:
        raise _unknown("BLOB_UNKNOWN", app, f"blob {digest_of(digest)}")
    path = blob_store.received(app.team_id, digest)
    if not path.exists() or _is_released(app, digest):
        raise _kept(f"sha256:{digest} is a part of a release.")
    if _is_manifest(app, digest):
        raise RegistryRefused(
            "UNSUPPORTED",
            f"sha256:{digest} is a manifest.",
            status=405,
            hint="Delete it below manifests/.",
        )
    if digest in blob_store.needed(app.team_id) or _is_deployed_now(app, digest):
        raise RegistryRefused(
            "UNSUPPORTED",
            f"sha256:{digest} is a part of a manifest.",
            status=405,
            hint="Delete the manifests that need it first.",
        )
    path.unlink(missing_ok=True)


def _is_released(app: App, digest: str) -> bool:
    return any((folder / digest).exists() for folder in blob_store.images_of(app.pk))


def _is_deployed_now(app: App, digest: str) -> bool:
    """Return whether an open deploy of the app needs the manifest or the blob."""
    open_builds = Build.objects.filter(
        app=app, state__in=(BuildState.QUEUED, BuildState.BUILDING)
    ).select_related("source")
    for build in open_builds:
        if digest in blob_store.with_parts(app.team_id, build.source.digest):
            return True
    return False


def _is_manifest(app: App, digest: str) -> bool:
    path = blob_store.received(app.team_id, digest)
    try:
        if path.stat().st_size > manifests.LARGEST:
            return False
        manifests.parse(path.read_bytes())
    except (FileNotFoundError, RegistryRefused):
        return False
    return True


def _kept(sentence: str) -> RegistryRefused:
    return RegistryRefused(
        "UNSUPPORTED",
        sentence,
        status=405,
        hint="It is deleted when its release is no longer kept, or with the app.",
    )


def _unknown(code: str, app: App, what: str) -> RegistryRefused:
    return RegistryRefused(code, f"{app.team.name}/{app.name} has no {what}.", status=404)
