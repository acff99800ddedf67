"""What a push does, whichever way it came: deploy one commit through the same action as an upload, and tell how it goes.

Runs inside git's pre-receive hook, so the new objects are in quarantine (git-receive-pack(1)) and no ref has moved: whatever is
refused here leaves nothing in the repository. The transport says who pushes to which app and nothing more; smart HTTP does so in
`views.py`, and SSH will do it the same way: its forced command ends in `exchanges.push` too.
"""

from __future__ import annotations

import asyncio
import fcntl
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from asgiref.sync import sync_to_async
from django.conf import settings

from portal.accounts.models import Person
from portal.apps.access import url_of
from portal.apps.models import App
from portal.builds import logs, sources, turns
from portal.builds.access import rollout_of
from portal.builds.actions import submit
from portal.builds.models import Build, BuildState, Origin, Source
from portal.errors import Conflict
from portal.gitserver import pushed, repository
from portal.releases.models import FAILURES, Rollout, RolloutState

_PATIENCE = 3600.0  # seconds; then the pusher is told to look at the portal
_LOOK_EVERY = 0.2
_QUEUE_EVERY = 1.0
_LONGEST_NAME = 100
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefUpdate:
    """One line of what a push asks for; forty zeros stand for no commit."""

    old: str
    new: str
    name: str

    @classmethod
    def parse(cls, line: str) -> Self:
        """As git hands it to the hook (githooks(5), pre-receive)."""
        old, new, name = line.rstrip("\n").split(" ", 2)
        return cls(old=old, new=new, name=name)


async def receive(app: App, person: Person, updates: list[RefUpdate], say: Say, *, on_taken: Callable[[], None] = lambda: None) -> None:
    """Deploy and wait for the end of the rollout; returns when it is live, raises Refused with the reason otherwise.

    `on_taken` is called once the files are stored: from there on the push only waits for its build.
    """
    commit = _wanted_commit(updates)
    words = f"{commit[:8]} {await pushed.subject(commit)}".strip()
    say(f"Deploying {words}")
    source = await _source_of(app, commit)
    on_taken()
    build = await sync_to_async(submit)(person, app=app, source=source, origin=Origin.GIT, description=words)
    deadline = time.monotonic() + _PATIENCE
    await _watch_build(build, say, deadline)
    await _watch_rollout(build, say, deadline)
    say("")
    say(f"{url_of(app)} is live.")
    say("")


def _wanted_commit(updates: list[RefUpdate]) -> str:
    """The one commit to deploy. All or nothing: git takes or refuses a push's refs together here."""
    for update in updates:
        if update.name not in repository.BRANCHES:
            name = update.name.removeprefix("refs/heads/").removeprefix("refs/tags/")
            hint = (
                f"Push it as main: git push slipway {name}:main" if len(name) <= _LONGEST_NAME else "Push main alone: git push slipway main"
            )
            raise Conflict(f"Only main deploys, so {update.name[:_LONGEST_NAME]} was not taken.", hint=hint)
        if set(update.new) == {"0"}:
            raise Conflict("The deployed branch cannot be deleted.", hint="Delete the app in the portal if that is what you want.")
    if len(updates) != 1:
        raise Conflict("A push deploys one branch.", hint="Push main alone: git push slipway main")
    return updates[0].new


async def _source_of(app: App, commit: str) -> Source:
    settings.INCOMING.mkdir(parents=True, exist_ok=True)
    draft = settings.INCOMING / f"git-{uuid.uuid4().hex}.tar"
    await pushed.measure(commit)
    try:
        with draft.open("xb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # `leftovers` removes what nobody holds
            await pushed.archive(commit, file.fileno())
            return await sync_to_async(sources.store_file)(draft, filename=f"{app.name}-{commit[:12]}.tar")
    finally:
        draft.unlink(missing_ok=True)


async def _watch_build(build: Build, say: Say, deadline: float) -> None:
    """Pass the log on until the build is over; while it waits, its place in the queue whenever that changes."""
    told, look_again = "", 0.0

    async def is_over() -> bool:
        nonlocal told, look_again
        try:
            await build.arefresh_from_db(fields=("state", "reason"))
        except Build.DoesNotExist:
            raise Conflict(f"The app {build.app.name} was deleted meanwhile.") from None
        if build.state == BuildState.QUEUED and time.monotonic() >= look_again:
            look_again = time.monotonic() + _QUEUE_EVERY
            position = await sync_to_async(turns.position_of)(build)
            if position and (words := turns.words_of(position)) != told:
                say(words)
                told = words
        return BuildState(build.state).is_over or time.monotonic() > deadline

    async for line in logs.follow(logs.path_of(build), done=is_over):
        say(line.text)
    if not BuildState(build.state).is_over:
        raise Conflict("The build takes very long and goes on without you.", hint=_look(build))
    if build.state == BuildState.CANCELLED:
        raise Conflict(f"The build was cancelled: {build.reason}", hint="Push again to build again.")
    if build.state == BuildState.FAILED:
        raise Conflict(f"The build failed: {build.reason}", hint=_look(build))


async def _watch_rollout(build: Build, say: Say, deadline: float) -> None:
    """Pass the timeline on until the rollout is over."""
    rollout = await sync_to_async(rollout_of)(build)
    if rollout is None:
        raise Conflict("A later deploy was released first, so this one was not.", hint=_look(build))
    told = 0
    while True:
        rollout = await Rollout.objects.select_related("release").filter(pk=rollout.pk).afirst()
        if rollout is None:
            raise Conflict(f"The app {build.app.name} was deleted meanwhile.")
        for step in rollout.steps[told:]:
            say(f"v{rollout.release.number}: {step['text']}")
        told = len(rollout.steps)
        if RolloutState(rollout.state).is_over:
            break
        if time.monotonic() > deadline:
            raise Conflict("The rollout takes very long and goes on without you.", hint=_look(build))
        await asyncio.sleep(_LOOK_EVERY)
    if (state := RolloutState(rollout.state)).has_failed:
        raise Conflict(f"v{rollout.release.number} {FAILURES[state]}: {rollout.reason}", hint=_look(build))
    if rollout.state == RolloutState.SUPERSEDED:
        raise Conflict(f"v{rollout.release.number} was not finished: {rollout.reason}", hint=_look(build))
    say(f"v{rollout.release.number} has the traffic.")


def _look(build: Build) -> str:
    return f"See {settings.PORTAL_URL}/apps/{build.app.name}"
