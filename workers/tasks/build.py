"""Turning a source into an image, and its image into a release."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from portal.builds import queue_order
from portal.builds.models import Build, BuildState, SourceKind
from portal.deploys import actions as builds
from runtime import journal
from runtime.builds.builder import BuildRequest, BuiltImage
from runtime.engines.node import NodeEngine
from runtime.errors import RuntimeFailure
from runtime.masking import Mask
from workers import node
from workers.bridge import translate
from workers.celery import app as celery
from workers.tasks import images, publishing
from workers.tasks.build_log import BuildLog

log = logging.getLogger(__name__)

_BROKE = "The build broke for a reason that is not the app's. Try again, or ask who runs this platform."
LOOK = 0.25  # seconds; whoever cancels a build sees it end within one


@celery.task(name="slipway.build")
def build(build_id: int) -> None:
    """Do one build: this one where its worker was lost, else the one whose turn it is. Each build sends one such task."""
    engine = node.engine()
    is_lost = Build.objects.filter(pk=build_id, state=BuildState.BUILDING).exists()
    for number in [build_id] if is_lost else queue_order.queue():
        if _take(number, engine):
            return


def _take(build_id: int, engine: NodeEngine) -> bool:
    """Do this build, unless another worker is at it or it is over; then False."""
    row = Build.objects.select_related("app__team", "source", "created_by").filter(pk=build_id).first()
    if row is None:
        return False
    with journal.lock(lock_of(build_id, engine), blocking=False) as held:
        again = row.state == BuildState.BUILDING
        if not held or not builds.mark_building(row):
            return False
        with engine.images.lease():  # until a row names the image
            _build(row, engine, again=again)
    return True


def lock_of(build_id: int, engine: NodeEngine) -> Path:
    """Held while a worker is at this build."""
    return engine.config.locks / f"build-{build_id}"


def _build(row: Build, engine: NodeEngine, *, again: bool) -> None:
    try:
        request = translate.build_request(row, engine.config.sources)
        mask = Mask((*request.secrets.values(), translate.credentials_of(row).get("password", "")))
    except Exception:  # such as a key that is gone; without an end the build would be taken up for ever
        log.exception("Build %s could not begin", row.pk)
        builds.fail(row, _BROKE)
        return
    with BuildLog(engine.config.build_logs / f"{row.pk}.log", user=engine.config.user, mask=mask) as said:
        if again:
            said.say("The worker of this build was lost; it begins again.")
        _build_and_record(row, request, engine, said, mask)


def _build_and_record(row: Build, request: BuildRequest, engine: NodeEngine, said: BuildLog, mask: Mask) -> None:
    cancelled = _cancelled(row)
    try:
        built = _built_at_last(row, request, engine, said, cancelled)
    except RuntimeFailure as failure:
        if cancelled():
            row.refresh_from_db(fields=("reason",))
            said.say(f"The build was cancelled: {row.reason}")
            return
        said.say(failure.explain())
        builds.fail(row, mask(failure.explain()))
        log.info("Build %s of %s failed: %s", row.pk, row.app.name, failure.what)
    except Exception:  # the edge of the task: whatever went wrong, the person waiting for this build is told
        log.exception("Build %s broke", row.pk)
        said.say("The build broke for a reason that is not the app's; the node's own log has it.")
        builds.fail(row, _BROKE)
    else:
        said.say(f"Built {built.digest}")
        log.info("Build %s of %s made %s", row.pk, row.app.name, built.digest)
        rollout = builds.succeed(row, built.digest, built.processes, translate.app_file(built))
        if rollout is not None:
            engine.images.tag(f"{row.app.name}:v{rollout.release.number}", built.digest)
            images.note(built.digest, engine)
            publishing.settle(row, engine)


def _built_at_last(row: Build, request: BuildRequest, engine: NodeEngine, said: BuildLog, cancelled: Callable[[], bool]) -> BuiltImage:
    """What breaks for a reason of ours may be a moment's thing, as when two builds meet: it is told, and tried once more."""
    try:
        return _built(row, request, engine, said, cancelled)
    except RuntimeFailure:
        raise
    except Exception:  # recorded; what breaks again is the task's to tell
        log.exception("Build %s broke, and begins again", row.pk)
        said.say("The build broke for a reason that is not the app's; it begins again.")
        return _built(row, request, engine, said, cancelled)


def _built(row: Build, request: BuildRequest, engine: NodeEngine, said: BuildLog, cancelled: Callable[[], bool]) -> BuiltImage:
    if row.source.kind == SourceKind.ARCHIVE:
        return engine.build(request, said.output, cancelled=cancelled)
    return engine.take_in(translate.image_to_take_in(row, engine), said.output, cancelled=cancelled)


def _cancelled(row: Build) -> Callable[[], bool]:
    """Whether someone or something ended it; the row is read at most every LOOK seconds."""
    state = {"at": 0.0, "cancelled": False}

    def cancelled() -> bool:
        if not state["cancelled"] and time.monotonic() - state["at"] >= LOOK:
            state["at"] = time.monotonic()
            state["cancelled"] = not Build.objects.filter(pk=row.pk, state=BuildState.BUILDING).exists()
        return bool(state["cancelled"])

    return cancelled
