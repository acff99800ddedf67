"""Turning a source into an image, and its image into a release."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from portal.builds import actions as builds
from portal.builds.models import Build, BuildState
from runtime import journal
from runtime.engines.node import NodeEngine
from runtime.errors import RuntimeFailure
from workers import node, translate
from workers.buildlog import BuildLog
from workers.celery import app as celery

log = logging.getLogger(__name__)


@celery.task(name="slipway.build")
def build(build_id: int) -> None:
    """Do one build, unless another worker is at it or it is over."""
    engine = node.engine()
    row = Build.objects.select_related("app__team", "source", "created_by").filter(pk=build_id).first()
    if row is None:
        return
    if row.state == BuildState.QUEUED and _lets_others_go_first(row):
        return  # whoever builds hands on
    with journal.lock(lock_of(build_id, engine), blocking=False) as held:
        again = row.state == BuildState.BUILDING
        if held and builds.mark_building(row):
            with engine.images.lease():  # until a row names the image
                _build(row, engine, again=again)
            _hand_on()


def _hand_on() -> None:
    """Each team's oldest build that waits, for one of them may have let others go first; upkeep finds those that this misses."""
    oldest: dict[int, int] = {}
    for number, team in Build.objects.filter(state=BuildState.QUEUED).order_by("pk").values_list("pk", "app__team"):
        oldest.setdefault(team, number)
    for number in oldest.values():
        celery.send_task("slipway.build", [number])


def _lets_others_go_first(row: Build) -> bool:
    """While other teams wait, a team builds one thing at a time: who queues a hundred builds holds up their own."""
    team = row.app.team_id
    builds_already = Build.objects.filter(state=BuildState.BUILDING, app__team=team).exists()
    return builds_already and Build.objects.filter(state=BuildState.QUEUED).exclude(app__team=team).exists()


def lock_of(build_id: int, engine: NodeEngine) -> Path:
    """Held while a worker is at this build."""
    return engine.config.locks / f"build-{build_id}"


def _build(row: Build, engine: NodeEngine, *, again: bool) -> None:
    said = BuildLog(engine.config.build_logs / f"{row.pk}.log", user=engine.config.user)
    if again:
        said.say("The worker of this build was lost; it begins again.")
    cancelled = _cancelled(row)
    try:
        built = engine.build(translate.build_request(row, engine.config.sources), said.output, cancelled=cancelled)
    except RuntimeFailure as failure:
        if cancelled():
            said.say("The build was cancelled.")
            return
        said.say(failure.explain())
        builds.fail(row, failure.explain())
        log.info("Build %s of %s failed: %s", row.pk, row.app.name, failure.what)
    except Exception:  # the edge of the task: whatever went wrong, the person waiting for this build is told
        log.exception("Build %s broke", row.pk)
        said.say("The build broke for a reason that is not the app's; the node's own log has it.")
        builds.fail(row, "The build broke for a reason that is not the app's. Try again, or ask who runs this platform.")
    else:
        said.say(f"Built {built.digest}")
        log.info("Build %s of %s made %s", row.pk, row.app.name, built.digest)
        rollout = builds.succeed(row, built.digest, built.processes, translate.app_file(built))
        if rollout is not None:
            engine.images.tag(f"{row.app.name}:v{rollout.release.number}", built.digest)


def _cancelled(row: Build) -> Callable[[], bool]:
    """Whether someone cancelled it; the row is read at most once a second."""
    state = {"at": 0.0, "cancelled": False}

    def cancelled() -> bool:
        if not state["cancelled"] and time.monotonic() - state["at"] >= 1.0:
            state["at"] = time.monotonic()
            state["cancelled"] = not Build.objects.filter(pk=row.pk, state=BuildState.BUILDING).exists()
        return bool(state["cancelled"])

    return cancelled
