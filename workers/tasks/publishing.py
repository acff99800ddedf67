"""Letting the portal hand out the images of kept releases, and tidying what it received once a release is made of it."""

from __future__ import annotations

import logging

from portal.apps.models import App
from portal.builds.models import Build, BuildState, SourceKind
from portal.registry import blob_store
from portal.registry.upkeep import forget_unreachable_tags, sweep
from portal.releases.access import kept_releases
from runtime import journal
from runtime.engines.node import NodeEngine
from workers import node
from workers.celery import app as celery

log = logging.getLogger(__name__)


@celery.task(name="slipway.publish_images")
def publish_images() -> None:
    """Make what may be pulled equal what is kept, also where a killed worker did not come to it; forget what nobody finished to push."""
    engine = node.engine()
    engine.published.withdraw_others(App.objects.values_list("pk", flat=True))
    for app in App.objects.filter(deleted_at=None):
        publish(app, engine)
    if removed := sweep():
        log.info("Registry: removed %s files that no push finished with", removed)
    forget_unreachable_tags()


def publish(app: App, engine: NodeEngine) -> None:
    """Images of one app. While a push of its team is under way none is withdrawn: it may build on their layers."""
    with journal.lock(engine.config.locks / f"published-{app.pk}"):
        pushing = Build.objects.filter(
            app__team=app.team_id, source__kind=SourceKind.PUSHED, state__in=(BuildState.QUEUED, BuildState.BUILDING)
        ).exists()
        engine.published.set(app.pk, {release.image for release in kept_releases(app) if release.image}, keep=pushing)


def settle(build: Build, engine: NodeEngine) -> None:
    """The release of a build is made: its image may be pulled, and what was received for it is there twice no more."""
    publish(build.app, engine)
    if build.source.kind == SourceKind.PUSHED:
        blob_store.settle(build.app, f"sha256:{build.source.digest}")
