"""Read a pushed commit inside the hook. Its objects are still in quarantine, where only the hook's
environment finds them.

A few kilobytes of nested trees can name a huge number of files. So git must not expand a whole tree
in memory here. All its output is read as a stream, and is cut off at the limits of a deploy.
"""

from __future__ import annotations

from django.conf import settings

from portal.builds.commits import Commit
from portal.errors import Conflict, SourceRefused, SourceTooLarge
from portal.gitserver import git_limits, repository
from portal.gitserver.objects import Census, author_of, subject_of
from portal.programs import running
from portal.programs.running import Completed, RecordsCut

_MOST_OF_COMMIT = 2**16  # bytes of the commit that are read


async def described(commit: str) -> Commit:
    """Return a commit with the first line of its message, and its author. Raise SourceRefused if
    the object is not a commit."""
    done = await running.run(
        ("git", "cat-file", "--batch"),
        environment=_environment(),
        limits=git_limits.short_limits(),
        team=None,
        stdin_bytes=f"{commit}\n".encode(),
        most=_MOST_OF_COMMIT,
    )
    head, _, content = done.stdout.partition(b"\n")
    if done.reached or not head:
        raise _failed(f"The commit {commit[:8]} could not be read", done)
    if head.split(b" ")[1:2] != [b"commit"]:
        raise SourceRefused(
            f"{commit[:8]} is not a commit, so it cannot be deployed.",
            hint="Push a branch: git push slipway main",
        )
    return Commit(id=commit, subject=subject_of(content), author=author_of(content))


async def measure(commit: str) -> Census:
    """Count a commit's files before anything is written. Raise SourceTooLarge or SourceRefused
    beyond the limits of a deploy."""
    census = Census(most_bytes=settings.MAX_UPLOAD)
    listing = running.records(
        ("git", "ls-tree", "-r", "-t", "-l", "-z", "--full-tree", commit),
        environment=_environment(),
        limits=git_limits.push_limits(0),
        team=None,
    )
    try:
        async for record in listing:
            census.add(record)
    except RecordsCut as cut:
        raise _failed("The commit's files could not be listed", cut.completed) from None
    finally:
        await listing.aclose()
    return census


async def archive(commit: str, target: int) -> None:
    """Write a commit's tree as a tar to the open file `target`. Raise SourceTooLarge if it exceeds
    the limit; the output is cut off.

    With --worktree-attributes, git does not expand the tree in memory first. A bare repository has
    no worktree.
    """
    done = await running.save(
        ("git", "archive", "--format=tar", "--worktree-attributes", commit),
        target,
        environment=_environment(),
        limits=git_limits.push_limits(0),
        team=None,
        most=settings.MAX_UPLOAD,
    )
    if done.saved > settings.MAX_UPLOAD:
        raise SourceTooLarge(
            f"The commit's files are too large. The limit is {settings.MAX_UPLOAD // 2**20} MiB.",
            hint=(
                "Leave out files that the build does not need, such as dependencies, build results"
                " and data."
            ),
        )
    if done.code != 0:
        raise _failed("The commit could not be archived", done)


def _failed(what: str, done: Completed) -> Conflict:
    if done.code < 0:
        return Conflict(
            f"{what}: git was stopped by signal {-done.code}.",
            hint="It needs more memory than the limit of a push, or its trees are too deep.",
        )
    return Conflict(f"{what}: {done.stderr[-500:]}", hint="Run `git fsck` in your repository.")


def _environment() -> dict[str, str]:
    return repository.environment() | settings.GIT_HOOK_ENVIRONMENT
