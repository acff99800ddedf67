"""Summarise the state of an app in one word and one sentence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from django.db.models import Max

from portal.apps.models import App, Instance, InstanceState, ProcessFormation
from portal.builds.models import Build, BuildState
from portal.releases.access import OPEN
from portal.releases.models import FAILURES, Release, Rollout, RolloutState

Word = Literal["live", "changing", "failed", "asleep", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppStatus:
    """`word` selects the colour and icon; `sentence` is for people.

    `failure` is the end of the sentence: why the last deploy failed while an earlier release
    serves. `failed_build` is the row id of its build.
    """

    word: Word
    sentence: str
    failure: str = ""
    failed_build: int | None = None

    @property
    def now(self) -> str:
        """Return the sentence without the failure."""
        return self.sentence.removesuffix(self.failure).strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """The facts that determine the status of one app."""

    formation: Mapping[str, int]  # process type -> count
    instances: Sequence[Instance]
    under_way: Rollout | None
    last_rollout: Rollout | None
    last_build: Build | None


def status_of(app: App) -> AppStatus:
    """Return the current status of the app, and what is in progress or failed last."""
    return statuses_of([app])[app.pk]


def statuses_of(apps: Iterable[App]) -> dict[int, AppStatus]:
    """Return the statuses of many apps by row id, with as many queries as for one."""
    apps = list(apps)
    facts = _facts_of([app.pk for app in apps])
    return {app.pk: _status(app.current_release, facts[app.pk]) for app in apps}


def _facts_of(apps: Sequence[int]) -> dict[int, _Facts]:
    formation: dict[int, dict[str, int]] = defaultdict(dict)
    for app, process, count in ProcessFormation.objects.filter(app__in=apps).values_list(
        "app_id", "process", "count"
    ):
        formation[app][process] = count
    instances: dict[int, list[Instance]] = defaultdict(list)
    for instance in Instance.objects.filter(app__in=apps).exclude(
        state__in=(InstanceState.STOPPED, InstanceState.DRAINING)
    ):
        instances[instance.app_id].append(instance)
    rollouts = Rollout.objects.filter(release__app__in=apps)
    newest = (
        rollouts.values("release__app").annotate(newest=Max("pk")).values_list("newest", flat=True)
    )
    wanted = Rollout.objects.select_related("release").defer(
        "steps", "release__encrypted_config", "release__app_file"
    )
    last = {rollout.release.app_id: rollout for rollout in wanted.filter(pk__in=newest)}
    under_way = {
        rollout.release.app_id: rollout
        for rollout in wanted.filter(release__app__in=apps, state__in=OPEN).order_by("pk")
    }  # a new rollout supersedes the previous one when it is created
    builds = (
        Build.objects.filter(app__in=apps)
        .values("app")
        .annotate(newest=Max("pk"))
        .values_list("newest", flat=True)
    )
    built = {build.app_id: build for build in Build.objects.filter(pk__in=builds)}
    return {
        app: _Facts(
            formation=formation[app],
            instances=instances[app],
            under_way=under_way.get(app),
            last_rollout=last.get(app),
            last_build=built.get(app),
        )
        for app in apps
    }


def _status(release: Release | None, facts: _Facts) -> AppStatus:
    now = _running(release, facts) if release is not None else None
    rollout, build = facts.under_way, facts.last_build
    if rollout is not None:
        step = RolloutState(rollout.state).label.lower()
        return AppStatus(
            word="changing",
            sentence=_join(now, f"v{rollout.release.number} is being rolled out: {step}."),
        )
    if build is not None and not BuildState(build.state).is_over:
        what = "A build is running." if build.state == BuildState.BUILDING else "A build is queued."
        return AppStatus(word="changing", sentence=_join(now, what))
    failure = _last_failure(facts)
    if now is None:
        return (
            AppStatus(word="failed", sentence=failure)
            if failure
            else AppStatus(word="stopped", sentence="Nothing is deployed yet.")
        )
    return AppStatus(
        word=now.word,
        sentence=_join(now, failure),
        failure=failure,
        failed_build=_failed_build(facts) if failure else None,
    )


def word_of_running(*, wanted: int, live: int, crashed: int, asleep: int) -> Word:
    """Return the word for an app with a live release, by the numbers of its instances."""
    if wanted == 0:
        return "stopped"
    if crashed:
        return "live" if live else "failed"
    if asleep and live + asleep >= wanted:
        return "asleep"
    return "changing" if live < wanted else "live"


def _running(release: Release, facts: _Facts) -> AppStatus:
    wanted = sum(
        count for process, count in facts.formation.items() if process in release.processes
    )
    there = facts.instances
    live = sum(1 for instance in there if instance.state == InstanceState.LIVE)
    asleep = sum(1 for instance in there if instance.state == InstanceState.ASLEEP)
    crashed = [instance for instance in there if instance.state == InstanceState.CRASHED]
    word = word_of_running(wanted=wanted, live=live, crashed=len(crashed), asleep=asleep)
    # after a scale-down, more instances than wanted are live until they have stopped
    healthy = f"{min(live, wanted)} of {wanted} {_noun(wanted)} healthy"
    if word == "stopped":
        sentence = f"v{release.number} is scaled to 0 instances."
    elif crashed:
        sentence = f"v{release.number} has {healthy}. {_crash_of(crashed[0])}"
    elif word == "asleep":
        sentence = (
            f"v{release.number} is asleep, because there were no requests. The next request"
            " wakes it."
        )
    elif word == "live":
        sentence = f"v{release.number} is live, {healthy}."
    elif not live and any(instance.state == InstanceState.WAKING for instance in there):
        sentence = f"v{release.number} is waking up. Requests wait until it answers."
    else:
        sentence = f"v{release.number} has {healthy}. The others are starting."
    return AppStatus(word=word, sentence=sentence)


def _crash_of(instance: Instance) -> str:
    return f"{instance.process} crashed{f': {instance.detail}' if instance.detail else '.'}"


def _last_failure(facts: _Facts) -> str:
    """Return the failure if the last build or rollout failed. A newer live release hides older
    failures."""
    rollout, build = facts.last_rollout, facts.last_build
    if (
        build is not None
        and build.state == BuildState.FAILED
        and (rollout is None or rollout.created_at < build.created_at)
    ):
        return f"The last build failed: {build.reason}"
    if rollout is not None and (state := RolloutState(rollout.state)).has_failed:
        return f"v{rollout.release.number} {FAILURES[state]}: {rollout.reason}"
    return ""


def _failed_build(facts: _Facts) -> int | None:
    """Return the build of the last failure."""
    rollout, build = facts.last_rollout, facts.last_build
    if build is not None and (rollout is None or rollout.created_at < build.created_at):
        return build.pk
    return rollout.release.build_id if rollout is not None else None


def _join(now: AppStatus | None, then: str) -> str:
    return f"{now.sentence if now else ''} {then}".strip()


def _noun(count: int) -> str:
    return "instance" if count == 1 else "instances"
