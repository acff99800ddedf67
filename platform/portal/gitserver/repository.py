"""Each app's bare repository: where it is, and the git commands on it, built apart from being run.

Named after the app's row id, which is never used again: an app that takes the name of a deleted one does not inherit its code.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from django.conf import settings

from portal.accounts.models import Person
from portal.apps.models import App
from portal.errors import Conflict, SourceTooLarge
from portal.gitserver import process

BRANCHES = ("refs/heads/main", "refs/heads/master")  # what deploys

_HOOKS = Path(__file__).parent / "hooks"
_OLD_HABITS = ("zeroPaddedFilemode", "missingSpaceBeforeDate", "badTimezone")  # harmless, and found in well-known histories


def path_of(app: App) -> Path:
    """Where its repository is, or will be."""
    return Path(settings.REPOSITORIES) / f"{app.pk}.git"


async def ensure(app: App) -> Path:
    """Make the repository if there is none, whole or not at all."""
    path = path_of(app)
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-") as folder:
        draft = Path(folder) / path.name
        command = ("git", "init", "--quiet", "--bare", "--initial-branch=main", "--template=", str(draft))
        done = await process.run(command, environment=_environment())
        if done.code != 0:
            raise Conflict(
                f"The repository of {app.name} could not be made: {done.stderr}", hint="An admin finds this in the portal's log."
            )
        if not path.exists():
            draft.rename(path)
    return path


def remove(app: App) -> None:
    """Delete the repository, if there is one."""
    shutil.rmtree(path_of(app), ignore_errors=True)


def serve(service: str, path: Path, *, advertise: bool) -> tuple[str, ...]:
    """The command that speaks one side of git's protocol for one HTTP request (gitprotocol-http(5))."""
    config = {
        "safe.directory": str(path),
        "core.hooksPath": str(_HOOKS),
        "receive.denyNonFastForwards": "false",  # a rewritten history deploys like any other
        "receive.denyDeletes": "true",
        "receive.maxInputSize": str(settings.MAX_UPLOAD),
        "transfer.fsckObjects": "true",
        **{f"receive.fsck.{name}": "ignore" for name in _OLD_HABITS},
    }
    options = [word for name, value in config.items() for word in ("-c", f"{name}={value}")]
    modes = ("--stateless-rpc", "--http-backend-info-refs") if advertise else ("--stateless-rpc",)
    return ("git", *options, service, *modes, str(path))


def serving_environment(app: App, person: Person, *, protocol: str = "") -> dict[str, str]:
    """What git and its hook are told: our settings, whose push to which app, and the client's protocol version."""
    told = {
        "SLIPWAY_PUSH_APP": str(app.pk),
        "SLIPWAY_PUSH_PERSON": str(person.pk),
        "SLIPWAY_PYTHON": sys.executable,
        "SLIPWAY_MANAGE": str(settings.ROOT / "manage.py"),
    }
    return _environment() | told | ({"GIT_PROTOCOL": protocol} if protocol else {})


async def archive(commit: str, target: Path) -> None:
    """Write a pushed commit's tree as a tar. Inside the hook: the objects are in quarantine still, where only its environment finds them.

    A few kilobytes of trees that hold each other can name more files than there are atoms. So git must not lay out the whole tree in
    memory to look up attributes (it does not with --worktree-attributes, of which a bare repository has none), and is stopped in time.
    """
    command = ("git", "archive", "--format=tar", "--worktree-attributes", commit)
    done = await process.save(command, target, environment=_environment() | settings.GIT_HOOK_ENVIRONMENT, limit=settings.MAX_UPLOAD)
    if done.saved > settings.MAX_UPLOAD:
        raise SourceTooLarge(
            f"The commit's files are larger than the {settings.MAX_UPLOAD // 2**20} MiB that one deploy may have.",
            hint="Leave out what a build does not need: dependencies, build results, data.",
        )
    if done.code != 0:
        raise Conflict(f"The commit could not be archived: {done.stderr}")


async def subject(commit: str) -> str:
    """The first line of a pushed commit's message; inside the hook."""
    command = ("git", "show", "--no-patch", "--format=%s", commit)
    done = await process.run(command, environment=_environment() | settings.GIT_HOOK_ENVIRONMENT)
    return done.stdout.decode(errors="replace").strip()


def _environment() -> dict[str, str]:
    """Neither the machine's nor a home folder's git configuration has a say."""
    return settings.GIT_ENVIRONMENT | {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "LC_ALL": "C.UTF-8"}
