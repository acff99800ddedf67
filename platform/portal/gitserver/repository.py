"""The bare git repository of each app: its path, and the git commands on it. Commands are built
here and run elsewhere.

A repository is named after the app's row id, which is never reused. So a new app with the name of a
deleted app does not inherit its code.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from django.conf import settings

from portal import repositories
from portal.accounts.models import Person
from portal.apps import branches
from portal.apps.models import App
from portal.errors import Conflict
from portal.gitserver import git_limits
from portal.gitserver.push_target import Created, is_new
from portal.programs import running

log = logging.getLogger(__name__)
_EXISTS = (errno.ENOTEMPTY, errno.EEXIST)  # rename(2) of a folder onto one with files
_HOOKS = Path(__file__).parent / "hooks"
# harmless, and present in well-known histories
_OLD_HABITS = ("zeroPaddedFilemode", "missingSpaceBeforeDate", "badTimezone")
# Keep git's own memory small for any input (git-config(1)). The control group enforces a limit in
# any case.
_SPARING = {
    "core.bigFileThreshold": "16m",  # larger files are streamed, if they are not deltas
    "core.deltaBaseCacheLimit": "16m",
    "core.packedGitLimit": "64m",
    "core.packedGitWindowSize": "8m",
    "pack.threads": "1",
    "pack.windowMemory": "32m",
    "pack.deltaCacheSize": "16m",
    "index.threads": "1",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "receive.autogc": "false",  # `packing` does this after the push
    "protocol.allow": "never",  # git must not open connections from here
}


async def ensure(app: App) -> Path:
    """Create the repository if it does not exist. It is created completely or not at all."""
    path = repositories.path_of(app)
    if path.exists():
        await _set_head(app, path)
        return path
    async with _draft(app) as draft:
        try:
            draft.rename(path)
        except OSError as error:
            if error.errno not in _EXISTS:  # another push of the app was first
                raise
    await _set_head(app, path)
    return path


@asynccontextmanager
async def readable(app: App) -> AsyncIterator[Path]:
    """Yield the repository. For an app that is not saved yet, yield an empty one and remove it
    afterwards."""
    if not is_new(app):
        yield await ensure(app)
        return
    async with _draft(app) as draft:
        yield draft


async def _set_head(app: App, path: Path) -> None:
    """Let HEAD name the deployed branch, so that a clone checks it out."""
    head = f"refs/heads/{branches.shown(app.deploy_branch)}"
    if await asyncio.to_thread((path / "HEAD").read_text) == f"ref: {head}\n":
        return
    done = await running.run(
        (*git(path, {}), "-C", str(path), "symbolic-ref", "HEAD", head),
        environment=environment(),
        limits=git_limits.short_limits(),
        team=app.team_id,
    )
    if done.code != 0:  # also if another request sets it now; the next request tries again
        log.warning("HEAD of the repository of %s could not be set: %s", app.name, done.stderr)


@asynccontextmanager
async def _draft(app: App) -> AsyncIterator[Path]:
    """Yield a new empty repository, which is removed afterwards unless it was renamed."""
    settings.REPOSITORIES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.REPOSITORIES, prefix=".new-") as folder:
        draft = Path(folder) / "draft.git"
        command = (
            "git",
            "init",
            "--quiet",
            "--bare",
            "--initial-branch=main",
            "--template=",
            str(draft),
        )
        done = await running.run(
            command, environment=environment(), limits=git_limits.short_limits(), team=app.team_id
        )
        if done.code != 0:
            raise Conflict(
                f"The repository of {app.name} could not be created: {done.stderr}",
                hint="Ask an admin. The error is also in the portal's log.",
            )
        yield draft


def serve(service: str, path: Path, *, advertise: bool, most_bytes: int = 0) -> tuple[str, ...]:
    """Return the command for one HTTP request of git's protocol (gitprotocol-http(5)). `most_bytes`
    limits a pushed pack."""
    config = {
        "core.hooksPath": str(_HOOKS),
        "receive.denyNonFastForwards": "false",  # a rewritten history is deployed like any other
        "receive.denyDeletes": "true",
        "receive.maxInputSize": str(max(most_bytes, 1)),
        # Keep packs: objects are not expanded from deltas to files, and a push creates three files
        # instead of a million.
        "receive.unpackLimit": "1",
        "transfer.unpackLimit": "1",
        "transfer.fsckObjects": "true",
        "receive.fsckObjects": "true",
        "receive.shallowUpdate": "false",
        "receive.advertisePushOptions": "false",
        "uploadpack.allowFilter": "false",
        "uploadpack.allowAnySHA1InWant": "false",
        **{f"receive.fsck.{name}": "ignore" for name in _OLD_HABITS},
    }
    modes = ("--stateless-rpc", "--http-backend-info-refs") if advertise else ("--stateless-rpc",)
    return (*git(path, config), service, *modes, str(path))


def git(path: Path, config: dict[str, str]) -> tuple[str, ...]:
    """Return the beginning of every git command on a repository."""
    settled = {"safe.directory": str(path), **_SPARING, **config}
    return ("git", *(word for name, value in settled.items() for word in ("-c", f"{name}={value}")))


def serving_environment(
    app: App,
    person: Person,
    *,
    protocol: str = "",
    taken: int | None = None,
    created: Created = Created.NO,
) -> dict[str, str]:
    """Return the environment of git and its hook: settings, person, app, whether this
    push created it, protocol version, and the descriptor to report to."""
    variables = {
        "SLIPWAY_PUSH_APP": str(app.pk),
        "SLIPWAY_PUSH_PERSON": str(person.pk),
        "SLIPWAY_PUSH_CREATED": created.value,
        "SLIPWAY_PYTHON": sys.executable,
        "SLIPWAY_MANAGE": str(settings.ROOT / "manage.py"),
    }
    if protocol:
        variables["GIT_PROTOCOL"] = protocol[:200]
    if taken is not None:
        variables["SLIPWAY_PUSH_TAKEN"] = str(taken)
    return environment() | variables


def environment() -> dict[str, str]:
    """Return an environment that ignores the git configuration of the machine and of the home
    folder."""
    ours = {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C.UTF-8",
    }
    return settings.GIT_ENVIRONMENT | ours
