"""The reconciliation loop of one app: observe and act until it is in the desired state.

Any process may run it, and may be killed. So each step holds the app's lock, reads the rows again
and observes again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.db import transaction

from portal.apps.models import HANDLE, App
from portal.deploys import going_live
from portal.releases import actions as releases
from portal.releases.models import Rollout
from runtime import journal
from runtime.converge.actions import ResetBackoff
from runtime.converge.planning.plan import OutcomeState
from runtime.converge.report import report
from runtime.engines.node import NodeEngine
from runtime.engines.observation import Observation
from runtime.errors import RuntimeFailure
from workers import node
from workers.bridge import translate
from workers.tasks import boot_log

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.02  # seconds; an app that boots in 100 ms is live after 120 ms
LONGEST_PAUSE = 0.25
STEADY_PAUSES = 150  # pauses of the first length: three seconds, in which most apps have booted
_QUIET = (ResetBackoff,)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """The result of one step."""

    settled: bool = False
    acted: bool = False


def reconcile_app(
    app_id: int, engine: NodeEngine, *, seconds: float, until: Callable[[], bool] = lambda: False
) -> bool:
    """Step until the app is settled, `until` returns True, or `seconds` have passed.

    Return True if the app is settled. Only one process reconciles an app at a time. Another process
    gives up after two seconds: the next step of the first one sees every change.
    """
    app = App.objects.filter(pk=app_id).first()
    if app is None:
        return True
    with journal.lock(engine.config.locks / f"tend-{app.handle}", timeout=2.0) as held:
        if not held:
            return False
        deadline = time.monotonic() + seconds
        pauses = 0
        while not until():
            now = step(app_id, engine)
            if now.settled:
                return True
            if time.monotonic() > deadline:
                return False
            pauses = 0 if now.acted else pauses + 1
            if not now.acted:
                time.sleep(_pause(pauses))
        return False


def differs_from_desired_state(app_id: int, engine: NodeEngine) -> bool:
    """Return True if there is something to do about an app, without doing it.

    Return False while another process works on the app.
    """
    name = App.objects.filter(pk=app_id).values_list(HANDLE, flat=True).first()
    if name is None:
        return False
    with engine.holding(name) as held:
        app = App.objects.select_related("team", "current_release").filter(pk=app_id).first()
        if not held or app is None:
            return False
        if app.deleted_at is not None or translate.launching(app) is not None:
            return True
        look = engine.look(translate.desired_app(app))
        _write_rows(app, look)
        return bool(look.plan.actions) or not look.plan.settled


def step(app_id: int, engine: NodeEngine) -> StepResult:
    """Observe an app once, and act on the difference."""
    name = App.objects.filter(pk=app_id).values_list(HANDLE, flat=True).first()
    if name is None:
        return StepResult(settled=True)
    with engine.holding(name, timeout=15.0) as held:
        app = App.objects.select_related("team", "current_release").filter(pk=app_id).first()
        if not held or app is None:
            return StepResult(settled=app is None)
        return _step(app, engine)


def _step(app: App, engine: NodeEngine) -> StepResult:
    rollout = translate.launching(app)
    desired = translate.desired_app(app)
    look = engine.look(desired)
    if rollout is not None:
        is_over = look.plan.outcome.state in (OutcomeState.LIVE, OutcomeState.FAILED)
        boot_log.copy(rollout, engine, look.observed.instances, is_last=is_over)
        _record_outcome(rollout, look)
    _write_rows(app, look)
    try:
        engine.act(desired, look)
    except RuntimeFailure as failure:
        log.warning("%s: %s", app.name, failure.explain())
        return StepResult()  # the next step, after a pause, tries again
    finally:
        if rollout is not None:
            _record_steps(rollout, look)
    return StepResult(settled=look.plan.settled, acted=bool(look.plan.actions))


def _write_rows(app: App, look: Observation) -> None:
    translate.write_instances(app, report(look.observed, look.at), node.name())
    translate.write_sleep_state(app, look.observed, look.at)


def _record_outcome(rollout: Rollout, look: Observation) -> None:
    """Record the rollout's outcome, before the actions are applied.

    A release is live as soon as the router sends requests to it. The old instances may still run.
    """
    outcome = look.plan.outcome
    name = f"{rollout.release.app.name} v{rollout.release.number}"
    if outcome.state is OutcomeState.LIVE and going_live.finish_live(rollout):
        log.info("%s is live", name)
    elif outcome.state is OutcomeState.FAILED and releases.finish_failed(
        rollout, outcome.reason, rolled_back=outcome.rolled_back
    ):
        log.info(
            "%s %s: %s",
            name,
            "was rolled back" if outcome.rolled_back else "failed",
            outcome.reason.partition("\n")[0],
        )


def _record_steps(rollout: Rollout, look: Observation) -> None:
    texts = [action.describe() for action in look.plan.actions if not isinstance(action, _QUIET)]
    known = {step["text"] for step in rollout.steps}
    texts += [text for text in _early_findings(rollout, look) if text not in known]
    if not texts:
        return
    with transaction.atomic():
        for text in texts:
            releases.add_step(rollout, text)


def _early_findings(rollout: Rollout, look: Observation) -> Iterator[str]:
    """Yield what the instances that boot do wrong, before their time is over."""
    for instance in look.observed.instances:
        if instance.early_finding and instance.slot.group.release == rollout.release.number:
            yield f"{instance.slot} is not ready yet. {instance.early_finding}"


def _pause(pauses: int) -> float:
    """Return the next pause in seconds: short while most apps boot, longer for slow ones."""
    return (
        FIRST_PAUSE
        if pauses <= STEADY_PAUSES
        else min(FIRST_PAUSE * 1.2 ** (pauses - STEADY_PAUSES), LONGEST_PAUSE)
    )
