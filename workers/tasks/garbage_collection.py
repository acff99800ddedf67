"""Garbage collection of images and sources: collects the digests that rows still need.

The runtime and the portal remove the rest.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from portal.builds import sources
from portal.builds.models import Build, BuildState, SourceKind
from portal.images.models import ImageTag
from portal.releases.access import all_kept_releases
from portal.volumes import jobs
from runtime.contract.quantities import Bytes
from runtime.engines import locks
from runtime.engines.node import NodeEngine
from runtime.images.collect import Roots
from runtime.images.removal import Collected

log = logging.getLogger(__name__)


def collect(engine: NodeEngine) -> Collected | None:
    """Remove unneeded images and sources, and log the result.

    Return None if another worker does it.
    """
    done = engine.collect_garbage(kept_images)
    sources.sweep_incoming()
    removed, freed = sources.collect(needed_sources())
    locks.remove_free_locks(engine.config)
    if done is not None and (done.freed or removed):
        log.info("Garbage: %s; %d sources with %s", done.describe(), removed, Bytes(freed))
    return None if done is None else replace(done, freed=done.freed + freed)


def kept_images() -> Roots:
    """Return the images of kept releases, with their names, and the images that teams tagged."""
    releases = all_kept_releases()
    numbers = {f"{app.handle}:v{release.number}" for app, release in releases}
    builds = {
        f"{app.handle}:build-{release.build_id}" for app, release in releases if release.build_id
    }
    tagged = set(ImageTag.objects.filter(app__deleted_at=None).values_list("digest", flat=True))
    return Roots(
        images=frozenset({release.image for _, release in releases if release.image} | tagged),
        names=frozenset(numbers | builds),
    )


def needed_sources() -> set[str]:
    """Return digests of archives that open builds and jobs read, or that made kept releases."""
    of_releases = {release.build_id for _, release in all_kept_releases()}
    waiting = Build.objects.filter(
        state__in=(BuildState.QUEUED, BuildState.BUILDING), source__kind=SourceKind.ARCHIVE
    )
    open_builds = waiting.values_list("source__digest", flat=True)
    return {*open_builds, *jobs.sources_in_use(), *_digests(of_releases)}


def _digests(builds: set[int | None]) -> set[str]:
    return set(
        Build.objects.filter(pk__in=[pk for pk in builds if pk is not None]).values_list(
            "source__digest", flat=True
        )
    )
