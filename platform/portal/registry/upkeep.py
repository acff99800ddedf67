"""Clean up old data of pushes. For the workers' schedule."""

from __future__ import annotations

import fcntl
import time
from datetime import timedelta
from pathlib import Path

from django.db.models import Q
from django.utils import timezone

from portal.accounts.models import Team
from portal.apps.models import App
from portal.builds.models import Build, BuildState, SourceKind
from portal.registry import blob_store
from portal.registry.models import Alias, Attachment, Tag

UPLOAD_KEPT = 6 * 3600.0  # seconds since its last byte
RECEIVED_KEPT = 24 * 3600.0  # seconds since it was received, if no release or attachment has it


def sweep(*, upload_kept: float = UPLOAD_KEPT, received_kept: float = RECEIVED_KEPT) -> int:
    """Remove abandoned uploads, and blobs that are not used. Return their number."""
    removed = 0
    for path in blob_store.UPLOADS.iterdir():
        if _age(path) > upload_kept and not _is_written(path):
            path.unlink(missing_ok=True)
            removed += 1
    attached = {
        f"{row.app.team_id}-{digest}"
        for row in Attachment.objects.select_related("app")
        for digest in row.blobs
    }
    pushing = _teams_that_push()
    for path in blob_store.RECEIVED.iterdir():
        team = path.name.partition("-")[0]
        if path.name not in attached and team not in pushing and _age(path) > received_kept:
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def forget_unreachable_tags() -> int:
    """Delete tags whose image is no longer kept, and covers without a tag or with a missing part.
    Return the number of tags.

    Skipped while the team pushes, because a tag is written before its image has a release.
    """
    pushing, forgotten = _teams_that_push(), 0
    for app in (
        App.objects.filter(deleted_at=None)
        .filter(Q(tags__isnull=False) | Q(attachments__isnull=False))
        .distinct()
    ):
        if str(app.team_id) in pushing:
            continue
        there = blob_store.reachable(app)
        covers = list(Attachment.objects.filter(app=app, is_cover=True))
        broken = {row.digest for row in covers if not there.issuperset(row.blobs)}
        gone = [
            tag.pk
            for tag in Tag.objects.filter(app=app)
            if tag.digest not in there or tag.digest in broken
        ]
        forgotten += Tag.objects.filter(pk__in=gone).delete()[0]
        named = set(Tag.objects.filter(app=app).values_list("digest", flat=True))
        listed = {digest for row in covers for digest in row.blobs[1:]}
        for row in covers:
            kept = row.subject or row.digest in named | listed
            if row.digest in broken or (not kept and _is_old(row)):
                row.delete()
    return forgotten


def forget_unused_aliases() -> int:
    """Delete SHA-512 digests of blobs that no longer exist. Return their number."""
    old = timezone.now() - timedelta(seconds=UPLOAD_KEPT)
    forgotten = 0
    for team in Team.objects.filter(aliases__updated_at__lt=old).distinct():
        there = blob_store.all_of_team(team.pk)
        rows = Alias.objects.filter(team=team, updated_at__lt=old)
        unused = [alias.pk for alias in rows if alias.stored not in there]
        forgotten += Alias.objects.filter(pk__in=unused).delete()[0]
    return forgotten


def _is_old(row: Attachment) -> bool:
    """Return whether a push of the row's parts, and of a tag for it, has had time to end."""
    return time.time() - row.created_at.timestamp() > RECEIVED_KEPT


def _teams_that_push() -> set[str]:
    under_way = Build.objects.filter(
        source__kind=SourceKind.PUSHED, state__in=(BuildState.QUEUED, BuildState.BUILDING)
    )
    return {str(team) for team in under_way.values_list("app__team", flat=True)}


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _is_written(path: Path) -> bool:
    """Return True if a request is writing the file at this moment."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError):
        return True
    return False
