"""How a program is put under its limits: the command that enters the control group, or without groups the limits of each process."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache

from django.conf import settings

from portal.programs import groups
from portal.programs.groups import Group, Subtree
from portal.programs.limits import MIB, Limits, TeamLimits

log = logging.getLogger(__name__)
_BESIDES = 768 * MIB  # of address space that is not data: program text, libraries, and files that are mapped
_LATER = 10  # seconds of processor time; where the group counts, the limit of one process is only behind it
_EXPENDABLE = 500  # oom_score_adj: where the whole machine is out of memory, these end before what serves
# The shell is in the group before it becomes the program, so nothing that the program does is outside.
_ENTER = f"""
while [ "$1" != -- ]; do echo 0 > "$1" || exit 125; shift; done; shift
read -r score < /proc/self/oom_score_adj; [ "$score" -ge {_EXPENDABLE} ] || echo {_EXPENDABLE} > /proc/self/oom_score_adj
exec "$@"
"""


@cache
def subtree() -> Subtree | None:
    """Return the portal's control groups; without them, say so once in the log."""
    found = groups.find(settings.CGROUP, is_delegated=settings.CGROUP_DELEGATED)
    if found is None:
        log.warning(
            "There are no control groups of the portal's own at %r, so git is held by the limits of each process only. "
            "`make up` makes them.",
            settings.CGROUP,
        )
    return found


def group_for(team: int, limits: Limits) -> Group | None:
    """Make a control group for one program of a team."""
    place = subtree()
    return place.create(team, limits, TeamLimits(memory=settings.TEAM_PROGRAMS_MEMORY)) if place else None


def confined(command: Sequence[str], limits: Limits, group: Group | None, *, inside: bool = False) -> tuple[str, ...]:
    """Return the command that runs `command` under its limits. `inside`: our own process is in the group already."""
    seconds = limits.cpu_seconds + (_LATER if group else 0)
    rights = [f"--cpu={seconds}:{seconds + 1}", f"--fsize={limits.file_size}", "--core=0"]
    if group is None and not inside:
        rights.append(f"--as={limits.memory + _BESIDES}")
    entrances = [str(path) for path in group.entrances] if group else []
    return ("sh", "-c", _ENTER, "sh", *entrances, "--", "prlimit", *rights, "--", *command)
