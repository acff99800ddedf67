"""Change the registry. A pushed image is deployed like an upload."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from django.db import transaction

from portal import repositories
from portal.accounts.access import require_member
from portal.accounts.models import Person
from portal.activity import audit
from portal.apps.models import App
from portal.builds.disk_space import check_room
from portal.builds.models import Build, BuildState, Origin, Source, SourceKind
from portal.deploys.actions import submit
from portal.errors import RegistryRefused
from portal.quotas import decision
from portal.registry import aliases, blob_store, deployable, manifests
from portal.registry.manifests import Descriptor, Document
from portal.registry.models import Attachment, Tag
from portal.registry.names import algorithm_of, check_tag, hex_of, is_digest, release_number

MOST_TAGS = 500  # per app
# Digests in the rows of an app. The portal reads all of a team for a deletion.
MOST_NAMED = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """The result of a manifest push: its hex (SHA-256), the hex of its subject, and the deploy."""

    digest: str
    subject: str
    build: Build | None


def check_upload(actor: Person, app: App, *, more: int = 0) -> None:
    """Raise unless the host's disk and the team's quota have space for more pushed data.

    Pushed data that is not yet released counts in addition to the disk that the team has allocated.
    So do copies for old clients. `more` bytes are known to follow.
    """
    require_member(actor, app.team)
    check_room()
    held = blob_store.pending(app.team_id) + blob_store.size_of_copies(app.team_id)
    decision.check_received(app.team, held + repositories.size_of_team(app.team) + more)


def put_manifest(actor: Person, *, app: App, reference: str, data: bytes, content_type: str) -> Put:
    """Accept a manifest whose parts were pushed. With a tag, an image is deployed.

    With a digest it is only stored, so that an index can refer to it.
    """
    require_member(actor, app.team)
    digest = hashlib.sha256(data).hexdigest()
    _check_reference(reference, data)
    document = aliases.resolved(app.team_id, manifests.parse(data, content_type))
    absent = deployable.check_parts(app, document)
    parts = _parts_of(app, document)
    tag = "" if is_digest(reference) else reference
    check_upload(actor, app)
    image = deployable.image_of(app, document, data) if tag else None
    blob_store.keep(app.team_id, data)
    if is_digest(reference) and len(named := hex_of(reference)) == 128:
        aliases.record(app.team_id, named, digest)
    deploys_another = image is not None and image.digest != digest
    if not document.is_runnable or deploys_another or absent:
        _attach(actor, app=app, document=document, digest=digest, size=len(data), parts=parts)
    build = None
    if image is not None:
        build = _deploy(actor, app=app, tag=tag, digest=digest, image=image)
    elif tag:
        _name(app, tag, digest)
    return Put(digest=digest, subject=document.subject, build=build)


@transaction.atomic
def _deploy(actor: Person, *, app: App, tag: str, digest: str, image: Descriptor) -> Build:
    """Create one deploy per push. A client that repeats the request after a lost response gets the
    same deploy. `digest` is what was pushed: the image itself, or an index that lists it."""
    filename = f"{app.team.name}/{app.name}:{tag}"
    source, _ = Source.objects.get_or_create(
        digest=image.digest,
        filename=filename,
        defaults={"size": image.size, "kind": SourceKind.PUSHED},
    )
    _name(app, tag, digest)
    queued = Build.objects.filter(app=app, source=source, state=BuildState.QUEUED).first()
    return queued or submit(
        actor, app=app, source=source, origin=Origin.PUSH, description=f"image {tag}"
    )


@transaction.atomic
def _attach(
    actor: Person, *, app: App, document: Document, digest: str, size: int, parts: list[str]
) -> None:
    decision.lock(app.team)
    others = Attachment.objects.filter(app=app).exclude(digest=digest)
    named = sum(len(blobs) for blobs in others.values_list("blobs", flat=True).iterator())
    if named + 1 + len(parts) > MOST_NAMED:
        raise _too_many(
            f"The indexes and attachments of the app name {named:,} parts, and the maximum is"
            f" {MOST_NAMED:,}.",
            "Delete indexes or signatures that you do not need.",
        )
    values = {
        "subject": document.subject,
        "media_type": document.media_type,
        "artifact_type": (
            document.artifact_type or (document.config.media_type if document.config else "")
        ),
        "size": size,
        "annotations": dict(document.annotations),
        "blobs": [digest, *parts],
        "is_cover": document.is_index or document.is_runnable,
    }
    _, made = Attachment.objects.update_or_create(app=app, digest=digest, defaults=values)
    if made:
        audit.record(actor, f"attached sha256:{digest[:12]}", app=app)


def _parts_of(app: App, document: Document) -> list[str]:
    """Return the hex of all parts that were pushed, also those of the manifests in an index. Raise
    MANIFEST_INVALID if there are too many."""
    found = dict.fromkeys(
        part.digest
        for part in document.parts
        if part.is_distributed or blob_store.find(app, part.digest)
    )
    listed = [entry.digest for entry in document.manifests]
    return list(found | blob_store.with_parts(app.team_id, *listed, most=MOST_NAMED))


@transaction.atomic
def _name(app: App, tag: str, digest: str) -> None:
    decision.lock(app.team)
    if (
        not Tag.objects.filter(app=app, name=tag).exists()
        and Tag.objects.filter(app=app).count() >= MOST_TAGS
    ):
        raise _too_many(
            f"The app already has {MOST_TAGS} tags, which is the maximum.",
            "Push to an existing tag. Tags of images that are no longer kept are deleted"
            " automatically.",
        )
    Tag.objects.update_or_create(app=app, name=tag, defaults={"digest": digest})


def _check_reference(reference: str, data: bytes) -> None:
    if is_digest(reference):
        algorithm = algorithm_of(hex_of(reference))
        digest = f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"
        if reference != digest:
            raise RegistryRefused(
                "DIGEST_INVALID",
                f"The manifest has the digest {digest}, not {reference}.",
                status=400,
            )
    elif release_number(check_tag(reference)) is not None:
        raise RegistryRefused(
            "DENIED",
            f"The tag {reference} is reserved for releases.",
            status=403,
            hint="Use another tag, for example latest.",
        )


def _too_many(sentence: str, hint: str) -> RegistryRefused:
    return RegistryRefused(
        "TOOMANYREQUESTS",
        sentence,
        status=429,
        hint=hint,
    )
