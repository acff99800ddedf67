"""The build task: builds an image from a source, and creates a release of the image."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from portal.builds import queue_order
from portal.builds.commits import LONGEST_AUTHOR, Commit, is_commit
from portal.builds.models import Build, BuildState, SourceKind
from portal.deploys import actions as builds
from runtime import journal
from runtime.builds.requests import BuildRequest, BuiltImage
from runtime.engines.node import NodeEngine
from runtime.errors import RuntimeFailure
from runtime.masking import Mask
from workers import node
from workers.bridge import credentials, translate
from workers.bridge.own_images import own_images
from workers.celery import app as celery
from workers.tasks import images, publishing
from workers.tasks.build_log import BuildLog

log = logging.getLogger(__name__)

_INTERNAL_ERROR = (
    "The build failed because of an internal error, not because of the app. Try again, or ask the"
    " administrator of this platform."
)
CANCEL_CHECK_SECONDS = 0.25  # seconds between two checks; a cancelled build ends within a second


@celery.task(name="slipway.build")
def build(build_id: int) -> None:
    """Run one build: this one if its worker was lost, else the next one of the queue.

    Each build sends one such task.
    """
    engine = node.engine()
    is_lost = Build.objects.filter(pk=build_id, state=BuildState.BUILDING).exists()
    for number in [build_id] if is_lost else queue_order.queue():
        if _run_if_free(number, engine):
            return


def _run_if_free(build_id: int, engine: NodeEngine) -> bool:
    """Run this build. Return False if another worker runs it, or if it is over."""
    row = (
        Build.objects.select_related("app__team", "source", "created_by")
        .filter(pk=build_id)
        .first()
    )
    if row is None:
        return False
    with journal.lock(lock_of(build_id, engine), blocking=False) as held:
        again = row.state == BuildState.BUILDING
        if not held or not builds.mark_building(row):
            return False
        with engine.images.lease():  # keeps the image until a row names it
            _build(row, engine, again=again)
    return True


def lock_of(build_id: int, engine: NodeEngine) -> Path:
    """Return the path of the lock that a worker holds while it runs this build."""
    return engine.config.locks / f"build-{build_id}"


def _build(row: Build, engine: NodeEngine, *, again: bool) -> None:
    try:
        request = replace(
            translate.build_request(row, engine.config.sources),
            own_images=own_images(row, engine),
            on_commit=lambda commit, author: _record_commit(row, commit, author),
        )
        mask = Mask((*request.config_vars.values(), *credentials.secrets_of(row)))
    except Exception:
        # Such as a missing key; without a final state the build would be retried forever.
        log.exception("Build %s could not start", row.pk)
        builds.fail(row, _INTERNAL_ERROR)
        return
    with BuildLog(
        engine.config.build_logs / f"{row.pk}.log", user=engine.config.user, mask=mask
    ) as log_file:
        if again:
            log_file.say("The worker of this build was lost. The build starts again.")
        _build_and_record(row, request, engine, log_file, mask)


def _build_and_record(
    row: Build, request: BuildRequest, engine: NodeEngine, log_file: BuildLog, mask: Mask
) -> None:
    cancelled = _cancelled(row)
    try:
        built = _build_with_retry(row, request, engine, log_file, cancelled)
    except RuntimeFailure as failure:
        if cancelled():
            row.refresh_from_db(fields=("reason",))
            log_file.say(f"The build was cancelled: {row.reason}")
            return
        log_file.say(failure.explain())
        builds.fail(row, mask(failure.explain()))
        log.info("Build %s of %s failed: %s", row.pk, row.app.name, failure.what)
    except Exception:
        # The edge of the task: every error must end the build for the person who waits.
        log.exception("Build %s failed with an internal error", row.pk)
        log_file.say(_INTERNAL_ERROR)
        builds.fail(row, _INTERNAL_ERROR)
    else:
        log_file.say(f"Built {built.digest}")
        log.info("Build %s of %s made %s", row.pk, row.app.name, built.digest)
        rollout = builds.succeed(row, built.digest, built.processes, translate.app_file(built))
        if rollout is not None:
            engine.images.tag(f"{row.app.handle}:v{rollout.release.number}", built.digest)
            images.write_image_rows(built.digest, engine)
            publishing.publish_built(row, engine)


def _build_with_retry(
    row: Build,
    request: BuildRequest,
    engine: NodeEngine,
    log_file: BuildLog,
    cancelled: Callable[[], bool],
) -> BuiltImage:
    """Build, and try once more after an internal error.

    Such an error may be temporary, for example when two builds interfere. The build's log shows it.
    """
    try:
        return _build_once(row, request, engine, log_file, cancelled)
    except RuntimeFailure:
        raise
    except Exception:  # recorded; the caller reports a second failure
        log.exception("Build %s failed with an internal error, and starts again", row.pk)
        log_file.say(
            "The build failed because of an internal error, not because of the app. It starts"
            " again."
        )
        return _build_once(row, request, engine, log_file, cancelled)


def _build_once(
    row: Build,
    request: BuildRequest,
    engine: NodeEngine,
    log_file: BuildLog,
    cancelled: Callable[[], bool],
) -> BuiltImage:
    if row.source.kind in (SourceKind.ARCHIVE, SourceKind.GIT):
        return engine.build(request, log_file.output, cancelled=cancelled)
    return engine.import_image(
        translate.image_to_import(row, engine), log_file.output, cancelled=cancelled
    )


def _record_commit(row: Build, commit: str, author: str) -> None:
    """Record the commit of a fetched repository. A hash in another form is left out."""
    if is_commit(commit):
        shown = "".join(letter if letter.isprintable() else " " for letter in author)
        builds.set_commit(row, Commit(id=commit, author=" ".join(shown.split())[:LONGEST_AUTHOR]))


def _cancelled(row: Build) -> Callable[[], bool]:
    """Return a function that reports if the build was ended.

    It reads the row at most every CANCEL_CHECK_SECONDS seconds.
    """
    state = {"at": 0.0, "cancelled": False}

    def cancelled() -> bool:
        if not state["cancelled"] and time.monotonic() - state["at"] >= CANCEL_CHECK_SECONDS:
            state["at"] = time.monotonic()
            state["cancelled"] = not Build.objects.filter(
                pk=row.pk, state=BuildState.BUILDING
            ).exists()
        return bool(state["cancelled"])

    return cancelled
