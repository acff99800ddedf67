"""What rows say is needed of images and sources; the rest is collected. The collecting itself is the runtime's and the portal's."""

from __future__ import annotations

import logging

from portal.builds import sources
from portal.builds.models import Build, BuildState, SourceKind
from portal.images.models import ImageTag
from portal.releases.access import all_kept_releases
from runtime.contract.quantities import Bytes
from runtime.engines import locks
from runtime.engines.node import NodeEngine
from runtime.images.collect import Roots
from runtime.images.removal import Collected

log = logging.getLogger(__name__)


def collect(engine: NodeEngine) -> Collected | None:
    """Remove what is not needed and log what it came to. None: another worker is at it."""
    done = engine.collect_garbage(kept)
    sources.sweep_incoming()
    removed, freed = sources.collect(needed_sources())
    locks.remove_free_locks(engine.config)
    if done is not None and (done.freed or removed):
        log.info("Garbage: %s; %d sources, %s", done.describe(), removed, Bytes(freed))
    return done


def kept() -> Roots:
    """Images of the releases that each app keeps, the names those have, and images that teams named."""
    releases = all_kept_releases()
    numbers = {f"{app.name}:v{release.number}" for app, release in releases}
    builds = {f"{app.name}:build-{release.build_id}" for app, release in releases if release.build_id}
    tagged = set(ImageTag.objects.filter(app__deleted_at=None).values_list("digest", flat=True))
    return Roots(images=frozenset({release.image for _, release in releases if release.image} | tagged), names=frozenset(numbers | builds))


def needed_sources() -> set[str]:
    """Digests of archives that a build still reads, or that a kept release was made of."""
    of_releases = {release.build_id for _, release in all_kept_releases()}
    waiting = Build.objects.filter(state__in=(BuildState.QUEUED, BuildState.BUILDING), source__kind=SourceKind.ARCHIVE)
    return {*waiting.values_list("source__digest", flat=True), *_digests(of_releases)}


def _digests(builds: set[int | None]) -> set[str]:
    return set(Build.objects.filter(pk__in=[pk for pk in builds if pk is not None]).values_list("source__digest", flat=True))
