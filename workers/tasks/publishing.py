"""Publishing: makes images of kept releases available to pull, also for old clients, and deletes
used uploads.
"""

from __future__ import annotations

import logging
import time

from portal.apps.models import App
from portal.builds.models import Build, BuildState, SourceKind
from portal.registry import blob_store
from portal.registry.upkeep import forget_unreachable_tags, forget_unused_aliases, sweep
from portal.releases.access import kept_releases
from portal.releases.models import Release
from runtime import journal
from runtime.engines.node import NodeEngine
from runtime.errors import ImageDamaged
from runtime.images.exchange.gzip_copies import GzipCopies
from workers import node
from workers.celery import app as celery

log = logging.getLogger(__name__)


@celery.task(name="slipway.publish_images")
def publish_images() -> None:
    """Publish the images of all kept releases and withdraw others; delete unfinished pushes.

    This also does what a killed worker left undone.
    """
    engine = node.engine()
    engine.published.withdraw_others(App.objects.values_list("pk", flat=True))
    GzipCopies(engine.config, engine.images).remove_unused(time.time())
    for app in App.objects.filter(deleted_at=None):
        publish(app, engine)
    if removed := sweep():
        log.info("Registry: removed %s files of unfinished pushes", removed)
    forget_unreachable_tags()
    forget_unused_aliases()


@celery.task(name="slipway.make_gzip_copy")
def make_gzip_copy(release_id: int) -> None:
    """Make the copy of a release's image that Docker before 23 can pull."""
    release = Release.objects.select_related("app").filter(pk=release_id).first()
    if release is None or not release.image or release.app.deleted_at is not None:
        return
    engine = node.engine()
    copies = GzipCopies(engine.config, engine.images)
    try:
        copies.make(release.app_id, release.image, team=release.app.team_id)
    except ImageDamaged as failure:
        log.warning("No gzip copy of %s: %s", release.image, failure.explain())


def publish(app: App, engine: NodeEngine) -> None:
    """Publish the images of one app.

    During a push of its team, no image is withdrawn: the push may use the layers of the images.
    """
    with journal.lock(engine.config.locks / f"published-{app.pk}"):
        pushing = Build.objects.filter(
            app__team=app.team_id,
            source__kind=SourceKind.PUSHED,
            state__in=(BuildState.QUEUED, BuildState.BUILDING),
        ).exists()
        engine.published.set(
            app.pk, {release.image for release in kept_releases(app) if release.image}, keep=pushing
        )


def publish_built(build: Build, engine: NodeEngine) -> None:
    """Publish the image of a finished build, and delete the uploaded blobs it was made from."""
    publish(build.app, engine)
    if build.source.kind == SourceKind.PUSHED:
        blob_store.settle(build.app, f"sha256:{build.source.digest}")
