"""Build the command that runs a program under its limits: in a control group, or else with limits
per process."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache

from django.conf import settings

from portal.programs import groups
from portal.programs.groups import ProgramGroup, Subtree
from portal.programs.limits import MIB, ProgramLimits, TeamLimits

log = logging.getLogger(__name__)
_BESIDES = 768 * MIB  # address space that is not data: program text, libraries and mapped files
# seconds of processor time; if the group has a limit, the limit per process is only a fallback
_LATER = 10
# oom_score_adj: if the machine runs out of memory, these programs are killed before the services
_EXPENDABLE = 500
# The shell enters the group before it becomes the program, so everything that the program does is
# inside.
_ENTER = f"""
while [ "$1" != -- ]; do echo 0 > "$1" || exit 125; shift; done; shift
read -r score < /proc/self/oom_score_adj; [ "$score" -ge {_EXPENDABLE} ] || echo {_EXPENDABLE} > /proc/self/oom_score_adj
exec "$@"
"""  # noqa: E501


@cache
def subtree() -> Subtree | None:
    """Return the portal's control groups. If there are none, log that once."""
    found = groups.find(settings.CGROUP, is_delegated=settings.CGROUP_DELEGATED)
    if found is None:
        log.warning(
            "The portal has no control groups at %r, so git has only limits per process. `make up`"
            " makes them.",
            settings.CGROUP,
        )
    return found


def group_for(team: int, limits: ProgramLimits) -> ProgramGroup | None:
    """Create a control group for one program of a team."""
    place = subtree()
    return (
        place.create(team, limits, TeamLimits(memory=settings.TEAM_PROGRAMS_MEMORY))
        if place
        else None
    )


def confined(
    command: Sequence[str],
    limits: ProgramLimits,
    group: ProgramGroup | None,
    *,
    inside: bool = False,
) -> tuple[str, ...]:
    """Return the command that runs `command` under its limits. `inside`: our own process is already
    in the group."""
    seconds = limits.cpu_seconds + (_LATER if group else 0)
    rights = [f"--cpu={seconds}:{seconds + 1}", f"--fsize={limits.file_size}", "--core=0"]
    if group is None and not inside:
        rights.append(f"--as={limits.memory + _BESIDES}")
    entrances = [str(path) for path in group.entrances] if group else []
    return ("sh", "-c", _ENTER, "sh", *entrances, "--", "prlimit", *rights, "--", *command)
