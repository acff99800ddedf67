"""Stack upgrades: create a release on a newer version of an app's stack, and roll it out."""

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
class UpgradeResult:
    """The result of one app's upgrade."""

    app: str
    outcome: str  # current, upgraded, unsound, rebuilding, failed
    sentence: str


@celery.task(name="slipway.upgrade_stack")
def upgrade_stack(app_id: int, person_id: int) -> None:
    """Upgrade one app, for an admin who requested it."""
    app = App.objects.filter(pk=app_id, deleted_at=None).first()
    if app is not None:
        result = upgrade_app(app, node.engine(), Person.objects.filter(pk=person_id).first())
        log.info("Stack of %s: %s", result.app, result.sentence)


def upgrade_app(
    app: App,
    engine: NodeEngine,
    actor: Person | None,
    *,
    rebuild: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> UpgradeResult:
    """Replace the stack under the app's release, if that is safe.

    Otherwise leave the release and report the reasons. With `rebuild`, build its source again.
    """
    release = intended_release(app)
    if release is None:
        return UpgradeResult(app=app.name, outcome="current", sentence="Nothing was deployed yet.")
    with engine.images.lease():  # keeps the image until a row names it
        try:
            done = engine.upgrade(release.image, progress)
            if done.image is not None:
                return _release(app, release, engine, actor, done)
        except (RuntimeFailure, Refused) as failure:
            releases.record_upgrade(
                app, f"could not be upgraded to a newer stack: {failure.explain()}"
            )
            return UpgradeResult(app=app.name, outcome="failed", sentence=failure.explain())
    if not done.reasons:
        return UpgradeResult(app=app.name, outcome="current", sentence=done.explain())
    if rebuild and (result := _rebuild(app, release, done)):
        return result
    releases.record_upgrade(app, f"stays on its stack. {done.explain()}")
    return UpgradeResult(app=app.name, outcome="unsound", sentence=done.explain())


def _release(
    app: App, release: Release, engine: NodeEngine, actor: Person | None, done: Upgrade
) -> UpgradeResult:
    description = f"Upgrade {done.stack} to {done.after}"
    rollout = releases.exchange_image(
        actor, app=app, of=release, image=str(done.image), description=description
    )
    engine.images.tag(f"{app.handle}:v{rollout.release.number}", str(done.image))
    return UpgradeResult(
        app=app.name, outcome="upgraded", sentence=f"v{rollout.release.number}: {done.explain()}"
    )


def _rebuild(app: App, release: Release, done: Upgrade) -> UpgradeResult | None:
    """Deploy the same source again.

    Return None if the build or the person who deployed it is gone.
    """
    build = release.build
    if build is None or build.created_by is None:
        return None
    again = builds.submit(
        build.created_by,
        app=app,
        source=build.source,
        origin=build.origin,
        description=build.description,
    )
    return UpgradeResult(
        app=app.name,
        outcome="rebuilding",
        sentence=f"Build {again.pk} builds the app again, because: {' '.join(done.reasons)}",
    )
