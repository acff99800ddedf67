"""An app's release on a newer version of its stack: a release of its own, through the same door as every other."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from portal.accounts.models import Person
from portal.apps.models import App
from portal.deploys import actions as builds
from portal.errors import Refused
from portal.releases import actions as releases
from portal.releases.access import intended_release
from portal.releases.models import Release
from runtime.engines.node import NodeEngine
from runtime.errors import RuntimeFailure
from runtime.stacks.upgrade import Upgrade
from workers import node
from workers.celery import app as celery

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What became of one app."""

    app: str
    outcome: str  # current, upgraded, unsound, rebuilding, failed
    sentence: str


@celery.task(name="slipway.upgrade_stack")
def upgrade_stack(app_id: int, person_id: int) -> None:
    """Do one app, for an admin who asked for it."""
    app = App.objects.filter(pk=app_id, deleted_at=None).first()
    if app is not None:
        told = upgrade_app(app, node.engine(), Person.objects.filter(pk=person_id).first())
        log.info("Stack of %s: %s", told.app, told.sentence)


def upgrade_app(
    app: App, engine: NodeEngine, actor: Person | None, *, rebuild: bool = False, progress: Callable[[str], None] = lambda _: None
) -> Told:
    """Exchange what the app's release stands on, where that is sound; else leave it, say why, and with `rebuild` build its source anew."""
    release = intended_release(app)
    if release is None:
        return Told(app=app.name, outcome="current", sentence="Nothing was deployed yet.")
    with engine.images.lease():  # until a row names the image
        try:
            done = engine.upgrade(release.image, progress)
            if done.image is not None:
                return _release(app, release, engine, actor, done)
        except (RuntimeFailure, Refused) as failure:
            releases.tell_of_upgrade(app, f"could not be brought to a newer stack: {failure.explain()}")
            return Told(app=app.name, outcome="failed", sentence=failure.explain())
    if not done.reasons:
        return Told(app=app.name, outcome="current", sentence=done.explain())
    if rebuild and (told := _rebuild(app, release, done)):
        return told
    releases.tell_of_upgrade(app, f"stays on its stack. {done.explain()}")
    return Told(app=app.name, outcome="unsound", sentence=done.explain())


def _release(app: App, release: Release, engine: NodeEngine, actor: Person | None, done: Upgrade) -> Told:
    description = f"Upgrade {done.stack} to {done.after}"
    rollout = releases.exchange_image(actor, app=app, of=release, image=str(done.image), description=description)
    engine.images.tag(f"{app.name}:v{rollout.release.number}", str(done.image))
    return Told(app=app.name, outcome="upgraded", sentence=f"v{rollout.release.number}: {done.explain()}")


def _rebuild(app: App, release: Release, done: Upgrade) -> Told | None:
    """Deploy the same source again; None where nobody is left who deployed it, or its source is gone."""
    build = release.build
    if build is None or build.created_by is None:
        return None
    again = builds.submit(build.created_by, app=app, source=build.source, origin=build.origin, description=build.description)
    return Told(app=app.name, outcome="rebuilding", sentence=f"Build {again.pk} makes it anew, since: {' '.join(done.reasons)}")
