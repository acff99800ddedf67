"""The one word and the one sentence that say how an app is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from portal.apps.models import App, Instance, InstanceState, ProcessFormation
from portal.builds.models import Build, BuildState
from portal.releases.access import open_rollout
from portal.releases.models import FAILURES, Release, Rollout, RolloutState

Word = Literal["live", "changing", "failed", "asleep", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppStatus:
    """`word` picks colour and icon; `sentence` is for people."""

    word: Word
    sentence: str


def status_of(app: App) -> AppStatus:
    """Look at the rows and say what is running, and what is under way or went wrong last."""
    now = _running(app, app.current_release) if app.current_release is not None else None
    rollout = open_rollout(app)
    build = Build.objects.filter(app=app).order_by("-id").first()
    if rollout is not None:
        step = RolloutState(rollout.state).label.lower()
        return AppStatus(word="changing", sentence=_join(now, f"v{rollout.release.number} is on its way: {step}."))
    if build is not None and not BuildState(build.state).is_over:
        what = "A build is running." if build.state == BuildState.BUILDING else "A build waits for its turn."
        return AppStatus(word="changing", sentence=_join(now, what))
    failure = _last_failure(app, build)
    if now is None:
        return AppStatus(word="failed", sentence=failure) if failure else AppStatus(word="stopped", sentence="Nothing is deployed yet.")
    return AppStatus(word=now.word, sentence=_join(now, failure))


def _running(app: App, release: Release) -> AppStatus:
    wanted = sum(ProcessFormation.objects.filter(app=app, process__in=release.processes).values_list("count", flat=True))
    there = list(Instance.objects.filter(app=app).exclude(state__in=(InstanceState.STOPPED, InstanceState.DRAINING)))
    live = sum(1 for instance in there if instance.state == InstanceState.LIVE)
    crashed = [instance for instance in there if instance.state == InstanceState.CRASHED]
    if wanted == 0:
        return AppStatus(word="stopped", sentence=f"v{release.number} is scaled to no instances.")
    if crashed:
        why = f" {crashed[0].process} crashed: {crashed[0].detail}" if crashed[0].detail else f" {crashed[0].process} crashed."
        word: Word = "live" if live else "failed"
        return AppStatus(word=word, sentence=f"v{release.number} has {live} of {wanted} {_noun(wanted)} healthy.{why}")
    asleep = sum(1 for instance in there if instance.state == InstanceState.ASLEEP)
    if asleep and live + asleep >= wanted:
        return AppStatus(word="asleep", sentence=f"v{release.number} is asleep: nobody asked for it. The first request wakes it.")
    if not live and any(instance.state == InstanceState.WAKING for instance in there):
        return AppStatus(word="changing", sentence=f"v{release.number} is waking: whoever asks is held until it answers.")
    if live < wanted:
        return AppStatus(
            word="changing", sentence=f"v{release.number} has {live} of {wanted} {_noun(wanted)} healthy, the rest are starting."
        )
    return AppStatus(word="live", sentence=f"v{release.number} is live, {live} of {wanted} {_noun(wanted)} healthy.")


def _last_failure(app: App, build: Build | None) -> str:
    """What went wrong, if the last thing tried was a failure; it is history as soon as something newer is live."""
    rollout = Rollout.objects.filter(release__app=app).order_by("-id").select_related("release").first()
    if build is not None and build.state == BuildState.FAILED and (rollout is None or rollout.created_at < build.created_at):
        return f"The last build failed: {build.reason}"
    if rollout is not None and (state := RolloutState(rollout.state)).has_failed:
        return f"v{rollout.release.number} {FAILURES[state]}: {rollout.reason}"
    return ""


def _join(now: AppStatus | None, then: str) -> str:
    return f"{now.sentence if now else ''} {then}".strip()


def _noun(count: int) -> str:
    return "instance" if count == 1 else "instances"
