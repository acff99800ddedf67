"""The rollout task: runs the release phase once, then starts instances until they serve or fail."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from portal.apps.models import App
from portal.quotas.access import quota_of
from portal.releases import actions as releases
from portal.releases.access import OPEN
from portal.releases.models import Rollout, RolloutState
from runtime import journal
from runtime.engines.node import NodeEngine
from runtime.errors import RuntimeFailure
from workers import node
from workers.bridge import translate
from workers.celery import app as celery
from workers.tasks import boot_log, reconcile

log = logging.getLogger(__name__)

LAUNCH_SECONDS = 10 * 60.0  # much longer than any boot deadline; then upkeep continues the rollout
AT_ONCE_PER_TEAM = 3  # threads of the node worker per team
AFTERWARDS_SECONDS = 45.0  # to drain the old instances


@celery.task(name="slipway.roll_out")
def roll_out(rollout_id: int) -> None:
    """Run one rollout to its end, unless another worker runs it or it is over."""
    engine = node.engine()
    rollout = (
        Rollout.objects.select_related("release__app__team")
        .filter(pk=rollout_id, state__in=OPEN)
        .first()
    )
    if rollout is None:
        return
    with _place_of(rollout.release.app.team_id, engine) as free:
        if not free:
            return  # a worker that holds one of the places sends the next rollout
        with journal.lock(lock_of(rollout.release.app.handle, engine), timeout=10.0) as held:
            if held:
                boot_log.begin(rollout, engine)
                if _prepare(rollout, engine):
                    _launch(rollout, engine)
    celery.send_task("slipway.converge", [rollout.release.app_id])
    _send_waiting_rollouts(rollout)


def lock_of(app_name: str, engine: NodeEngine) -> Path:
    """Return the path of the lock that a worker holds while it runs a rollout of this app."""
    return engine.config.locks / f"rollout-{app_name}"


def _send_waiting_rollouts(rollout: Rollout) -> None:
    """Send the team's waiting rollouts again. The upkeep task finds any that this misses."""
    waiting = Rollout.objects.filter(
        state__in=OPEN, release__app__team=rollout.release.app.team_id
    ).exclude(pk=rollout.pk)
    for waiting_rollout in waiting.order_by("pk").values_list("pk", flat=True)[:AT_ONCE_PER_TEAM]:
        celery.send_task("slipway.roll_out", [waiting_rollout])


@contextmanager
def _place_of(team: int, engine: NodeEngine) -> Iterator[bool]:
    """Hold one of the team's places for rollouts on this node. Yield False if none is free.

    A rollout occupies a thread while a release phase runs or an app boots. A team with many apps
    must not occupy all threads.
    """
    with ExitStack() as stack:
        locks = (
            engine.config.locks / f"rollouts-{team}-{place}" for place in range(AT_ONCE_PER_TEAM)
        )
        yield any(stack.enter_context(journal.lock(lock, blocking=False)) for lock in locks)


def _prepare(rollout: Rollout, engine: NodeEngine) -> bool:
    """Run the release phase, if there is one and it has not run.

    Return False if the rollout is over.
    """
    command = rollout.release.processes.get(releases.RELEASE_PHASE, "")
    if rollout.state == RolloutState.LAUNCHING:
        return True
    if command and not (
        releases.advance(rollout, RolloutState.RELEASING)
        and _release_phase(rollout, command, engine)
    ):
        return False
    return releases.advance(rollout, RolloutState.LAUNCHING)


def _release_phase(rollout: Rollout, command: str, engine: NodeEngine) -> bool:
    app = App.objects.select_related("team", "current_release").get(pk=rollout.release.app_id)
    quota = quota_of(app.team)
    releases.add_step(rollout, f"Run the release phase: {command}")
    over = _over(rollout)

    def is_cancelled() -> bool:
        boot_log.copy(rollout, engine)
        return over()

    try:
        engine.release_phases.run(
            translate.desired_app(app),
            translate.desired_release(app, rollout.release, quota),
            command,
            translate.instance_limits(quota),
            timeout=rollout.release.declared.release.timeout,
            cancelled=is_cancelled,
        )
    except RuntimeFailure as failure:
        boot_log.copy(rollout, engine, is_last=True)
        releases.finish_failed(rollout, failure.explain())
        return False
    releases.add_step(rollout, "The release phase succeeded")
    return True


def _launch(rollout: Rollout, engine: NodeEngine) -> None:
    over = _over(rollout, every=0.0)
    deadline = time.monotonic() + LAUNCH_SECONDS
    while not over() and time.monotonic() < deadline:
        reconcile.reconcile_app(rollout.release.app_id, engine, seconds=5.0, until=over)


def _over(rollout: Rollout, *, every: float = 1.0) -> Callable[[], bool]:
    """Return a function that reports if the rollout ended, here or because a newer one replaced it.

    The function reads the row at most once in `every` seconds.
    """
    state = {"at": 0.0, "over": False}

    def over() -> bool:
        if not state["over"] and time.monotonic() - state["at"] >= every:
            state["at"] = time.monotonic()
            state["over"] = not Rollout.objects.filter(pk=rollout.pk, state__in=OPEN).exists()
        return bool(state["over"])

    return over
