"""Change the registry. A pushed image is deployed like an upload."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
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
from portal.registry import blob_store, manifests
from portal.registry.manifests import Descriptor, Document
from portal.registry.models import Attachment, Tag
from portal.registry.names import check_tag, hex_of, is_digest, release_number

MOST_TAGS = 500  # per app
DEEPEST_INDEX = 3  # indexes in an index
# names of uname(2) -> names of Go, which the specification uses
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """The result of a manifest push: its hex, the hex of its subject, and the deploy."""

    digest: str
    subject: str
    build: Build | None


def check_upload(actor: Person, app: App) -> None:
    """Raise unless the host's disk and the team's quota have space for more pushed data.

    Data that was pushed and is not yet released counts in addition to the disk that the team has
    allocated.
    """
    require_member(actor, app.team)
    check_room()
    decision.check_received(
        app.team, blob_store.pending(app.team_id) + repositories.size_of_team(app.team)
    )


def put_manifest(actor: Person, *, app: App, reference: str, data: bytes, content_type: str) -> Put:
    """Accept a manifest whose parts were pushed. With a tag, an image is deployed.

    With a digest it is only stored, so that an index can refer to it.
    """
    require_member(actor, app.team)
    digest = hashlib.sha256(data).hexdigest()
    _check_reference(reference, digest)
    document = manifests.parse(data, content_type)
    _check_parts(app, document)
    tag = "" if is_digest(reference) else reference
    image = _image_of(app, document, digest) if tag else None
    check_upload(actor, app)
    blob_store.keep(app.team_id, data)
    if not document.is_runnable:
        _attach(actor, app=app, document=document, digest=digest, size=len(data))
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
def _attach(actor: Person, *, app: App, document: Document, digest: str, size: int) -> None:
    values = {
        "subject": document.subject,
        "media_type": document.media_type,
        "artifact_type": (
            document.artifact_type or (document.config.media_type if document.config else "")
        ),
        "size": size,
        "annotations": dict(document.annotations),
        "blobs": [digest, *_parts_of(app, document)],
    }
    _, made = Attachment.objects.update_or_create(app=app, digest=digest, defaults=values)
    if made:
        audit.record(actor, f"attached sha256:{digest[:12]}", app=app)


def _parts_of(app: App, document: Document) -> list[str]:
    """Return the hex of all parts, also those of the manifests that an index lists."""
    found = dict.fromkeys(part.digest for part in document.parts)
    for entry in document.manifests:
        found |= dict.fromkeys(blob_store.with_parts(app.team_id, entry.digest))
    return list(found)


@transaction.atomic
def _name(app: App, tag: str, digest: str) -> None:
    decision.lock(app.team)
    if (
        not Tag.objects.filter(app=app, name=tag).exists()
        and Tag.objects.filter(app=app).count() >= MOST_TAGS
    ):
        raise _too_many(
            f"{MOST_TAGS} tags",
            "Push to an existing tag. Tags of images that are no longer kept are deleted"
            " automatically.",
        )
    Tag.objects.update_or_create(app=app, name=tag, defaults={"digest": digest})


def _check_reference(reference: str, digest: str) -> None:
    if is_digest(reference):
        if hex_of(reference) != digest:
            raise RegistryRefused(
                "DIGEST_INVALID",
                f"The manifest has the digest sha256:{digest}, not {reference}.",
                status=400,
            )
    elif release_number(check_tag(reference)) is not None:
        raise RegistryRefused(
            "DENIED",
            f"The tag {reference} is reserved for releases.",
            status=403,
            hint="Use another tag, for example latest.",
        )


def _check_parts(app: App, document: Document) -> None:
    """Check that all parts of the manifest were pushed, with the right size."""
    for part in document.parts:
        path = blob_store.find(app, part.digest)
        if path is None:
            raise RegistryRefused(
                "MANIFEST_BLOB_UNKNOWN",
                f"The manifest names sha256:{part.digest}, which was not pushed.",
                status=400,
                hint="Push it again.",
            )
        if (size := path.stat().st_size) != part.size:
            raise RegistryRefused(
                "MANIFEST_INVALID",
                f"The manifest gives {part.size} bytes as the size of sha256:{part.digest}, but it"
                f" has {size} bytes.",
                status=400,
            )


def _image_of(app: App, document: Document, digest: str) -> Descriptor | None:
    """Return the image that a tag deploys: the manifest itself, or the entry of an index for this
    machine.

    None if the manifest is not a runnable image, or an index without any image.
    """
    architecture = _ARCHITECTURES.get(os.uname().machine, os.uname().machine)
    if document.is_index:
        if document.subject:
            return None
        found = next(_runnable(app, document, architecture, depth=0), None)
        if found is None:
            manifests.check_platforms(document, architecture)
            return None
        document, digest = found
        _check_parts(app, document)
    if not document.is_runnable or document.config is None:
        return None
    manifests.check_machine(_read(app, document.config), architecture)
    size = sum(layer.size for layer in document.layers)
    return Descriptor(media_type=document.media_type, digest=digest, size=size)


def _runnable(
    app: App, index: Document, architecture: str, *, depth: int
) -> Iterator[tuple[Document, str]]:
    """Yield the images of an index for this machine with their hex, also those of nested indexes.

    An entry without a platform counts: its configuration names the machine.
    """
    for entry in index.manifests:
        if not entry.may_run_on(architecture):
            continue
        document = manifests.parse(_read(app, entry), entry.media_type)
        if document.is_index:
            if depth < DEEPEST_INDEX:
                yield from _runnable(app, document, architecture, depth=depth + 1)
        elif document.is_runnable:
            yield document, entry.digest


def _read(app: App, part: Descriptor) -> bytes:
    path = blob_store.find(app, part.digest)
    if path is None or part.size > manifests.LARGEST:
        raise RegistryRefused(
            "MANIFEST_INVALID",
            f"sha256:{part.digest} is too large to be a manifest or a configuration.",
            status=400,
        )
    return path.read_bytes()


def _too_many(what: str, hint: str) -> RegistryRefused:
    return RegistryRefused(
        "TOOMANYREQUESTS",
        f"The app already has {what}, which is the maximum.",
        status=429,
        hint=hint,
    )
