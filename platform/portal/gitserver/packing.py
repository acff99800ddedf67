"""Join the packs of a repository after a push, under the team's limits. Git's automatic repack
would run inside pushes."""

from __future__ import annotations

import logging
from pathlib import Path

from portal.apps.models import App
from portal.gitserver import git_limits, repository, slots
from portal.gitserver.slots import Limit, SlotKind
from portal.programs import running

log = logging.getLogger(__name__)
_MOST_PACKS = 30
_KEPT = "1.day.ago"  # unreachable objects are kept this long, because a fetch may be reading them


async def pack_if_needed(app: App, path: Path) -> None:
    """Repack a repository that has more than 30 packs. One at a time per team; the next push tries
    again."""
    if len(list((path / "objects" / "pack").glob("*.pack"))) <= _MOST_PACKS:
        return
    turn = slots.take(
        [
            Limit(kind=SlotKind.TEAM_PACKING, holder=app.team_id, most=1),
            *git_limits.fetching(app),
            git_limits.writing(app),
        ]
    )
    if turn is None:
        return
    try:
        done = await running.run(
            (
                *repository.git(path, {"gc.cruftPacks": "true"}),
                "-C",
                str(path),
                "gc",
                "--quiet",
                f"--prune={_KEPT}",
            ),
            environment=repository.environment(),
            limits=git_limits.pack_limits(),
            team=app.team_id,
        )
    finally:
        turn.free()
    if done.code != 0:
        log.warning(
            "The repository of app %s could not be repacked: %s",
            app.name,
            done.stderr or f"git was stopped ({done.reached})",
        )
