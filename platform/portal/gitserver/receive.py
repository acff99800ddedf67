"""Process a push from any transport: deploy one commit like an upload, and report the progress.

This runs inside git's pre-receive hook: the new objects are in quarantine (git-receive-pack(1)) and
no ref has changed. So a refused push leaves nothing in the repository. The transport only says who
pushes to which app: smart HTTP does this in `views.py`. SSH will do the same: its forced command
will also end in `exchanges.push`.
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
from portal.apps import branches
from portal.apps.access import url_of
from portal.apps.models import App
from portal.builds import logs, queue_order, sources
from portal.builds.models import Build, BuildState, Origin, Source
from portal.deploys.access import rollout_of
from portal.deploys.actions import submit
from portal.errors import Conflict
from portal.gitserver import pushed
from portal.releases.models import FAILURES, Rollout, RolloutState

_PATIENCE = 3600.0  # seconds; then the pusher is referred to the portal
_LOOK_EVERY = 0.2
_QUEUE_EVERY = 1.0
_LONGEST_NAME = 100
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefUpdate:
    """A ref update that a push asks for. Forty zeros mean that there is no commit."""

    old: str
    new: str
    name: str

    @classmethod
    def parse(cls, line: str) -> Self:
        """Parse a line that git passes to the hook (githooks(5), pre-receive)."""
        old, new, name = line.rstrip("\n").split(" ", 2)
        return cls(old=old, new=new, name=name)


async def receive(
    app: App,
    person: Person,
    updates: list[RefUpdate],
    say: Say,
    *,
    on_taken: Callable[[], None] = lambda: None,
) -> None:
    """Deploy, and wait for the end of the rollout. Return when it is live, or raise Refused with
    the reason.

    `on_taken` is called when the files are stored. From then on the push only waits for its build.
    """
    commit = _wanted_commit(updates, app.deploy_branch)
    described = await pushed.described(commit)
    words = f"{commit[:8]} {described.subject}".strip()
    say(f"Deploying {words}")
    source = await _source_of(app, commit)
    on_taken()
    build = await sync_to_async(submit)(
        person,
        app=app,
        source=source,
        origin=Origin.GIT,
        description=words,
        commit=described,
    )
    deadline = time.monotonic() + _PATIENCE
    await _watch_build(build, say, deadline)
    await _watch_rollout(build, say, deadline)
    say("")
    say(f"{url_of(app)} is live.")
    say("")


def _wanted_commit(updates: list[RefUpdate], branch: str) -> str:
    """Return the commit to deploy. Git accepts or refuses all refs of a push together here."""
    target = branches.shown(branch)
    for update in updates:
        if not branches.deploys(branch, update.name):
            name = update.name.removeprefix("refs/heads/").removeprefix("refs/tags/")
            hint = (
                f"Push it as {target}: git push slipway {name}:{target}"
                if len(name) <= _LONGEST_NAME
                else f"Push only {target}: git push slipway {target}"
            )
            raise Conflict(
                f"Only {target} is deployed, so {update.name[:_LONGEST_NAME]} was refused.",
                hint=f"The app's settings choose the branch. {hint}",
            )
        if set(update.new) == {"0"}:
            raise Conflict(
                "The deployed branch cannot be deleted.", hint="To delete the app, use the portal."
            )
    if len(updates) != 1:
        raise Conflict(
            "A push can deploy only one branch.",
            hint=f"Push only {target}: git push slipway {target}",
        )
    return updates[0].new


async def _source_of(app: App, commit: str) -> Source:
    settings.INCOMING.mkdir(parents=True, exist_ok=True)
    draft = settings.INCOMING / f"git-{uuid.uuid4().hex}.tar"
    await pushed.measure(commit)
    try:
        with draft.open("xb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # `leftovers` removes files that nobody has locked
            await pushed.archive(commit, file.fileno())
            return await sync_to_async(sources.store_file)(
                draft, filename=f"{app.name}-{commit[:12]}.tar"
            )
    finally:
        draft.unlink(missing_ok=True)


async def _watch_build(build: Build, say: Say, deadline: float) -> None:
    """Pass on the build log until the build ends. While the build is queued, report each change of
    its position."""
    reported, look_again = "", 0.0

    async def is_over() -> bool:
        nonlocal reported, look_again
        try:
            await build.arefresh_from_db(fields=("state", "reason"))
        except Build.DoesNotExist:
            raise Conflict(f"App {build.app.name} was deleted in the meantime.") from None
        if build.state == BuildState.QUEUED and time.monotonic() >= look_again:
            look_again = time.monotonic() + _QUEUE_EVERY
            position = await sync_to_async(queue_order.position_of)(build)
            if position and (words := queue_order.words_of(position)) != reported:
                say(words)
                reported = words
        return BuildState(build.state).is_over or time.monotonic() > deadline

    async for line in logs.follow(logs.path_of(build), done=is_over):
        say(line.text)
    if not BuildState(build.state).is_over:
        raise Conflict(
            "The build takes too long to wait for. It continues in the background.",
            hint=_look(build),
        )
    if build.state == BuildState.CANCELLED:
        raise Conflict(
            f"The build was cancelled: {build.reason}", hint="Push again to build again."
        )
    if build.state == BuildState.FAILED:
        raise Conflict(f"The build failed: {build.reason}", hint=_look(build))


async def _watch_rollout(build: Build, say: Say, deadline: float) -> None:
    """Pass on the steps of the rollout until it ends."""
    rollout = await sync_to_async(rollout_of)(build)
    if rollout is None:
        raise Conflict("A later deploy was released first, so this one was not.", hint=_look(build))
    reported = 0
    while True:
        rollout = await Rollout.objects.select_related("release").filter(pk=rollout.pk).afirst()
        if rollout is None:
            raise Conflict(f"App {build.app.name} was deleted in the meantime.")
        for step in rollout.steps[reported:]:
            say(f"v{rollout.release.number}: {step['text']}")
        reported = len(rollout.steps)
        if RolloutState(rollout.state).is_over:
            break
        if time.monotonic() > deadline:
            raise Conflict(
                "The rollout takes too long to wait for. It continues in the background.",
                hint=_look(build),
            )
        await asyncio.sleep(_LOOK_EVERY)
    if (state := RolloutState(rollout.state)).has_failed:
        raise Conflict(
            f"v{rollout.release.number} {FAILURES[state]}: {rollout.reason}", hint=_look(build)
        )
    if rollout.state == RolloutState.SUPERSEDED:
        raise Conflict(
            f"v{rollout.release.number} was not rolled out: {rollout.reason}", hint=_look(build)
        )
    say(f"v{rollout.release.number} receives the traffic.")


def _look(build: Build) -> str:
    return f"See {settings.PORTAL_URL}/apps/{build.app.name}"
