"""The limits of git: memory, time and disk of one push or fetch, and how many may run at the same
time."""

from __future__ import annotations

import os

from django.conf import settings

from portal.accounts.models import Person
from portal.apps.models import App
from portal.gitserver.push_target import is_new
from portal.gitserver.slots import Limit, SlotKind
from portal.programs.limits import MIB, ProgramLimits

QUEUE_SECONDS = 30.0  # the longest time that a push or fetch waits for a slot
RETRY_SECONDS = 30  # the time after which a refused client should try again
MOST_OPEN = 10  # pushes of one team, and of one person; includes pushes that wait for their build
_UNPACKING, _FETCHING = 2, 4  # per team and per person
_MOST_AT_ONCE = 16  # of all teams together
_SHARE = 4  # all pushes together get a quarter of the machine's memory


def push_limits(most_bytes: int) -> ProgramLimits:
    """Return the limits of one push. Time counts until its files are stored; the build has its own
    limits."""
    return ProgramLimits(
        memory=settings.PUSH_MEMORY,
        cpu_seconds=300,
        seconds=600,
        file_size=max(most_bytes, settings.MAX_UPLOAD) + MIB,
    )


def fetch_limits() -> ProgramLimits:
    """Return the limits of one clone or fetch."""
    return ProgramLimits(
        memory=settings.PUSH_MEMORY, cpu_seconds=300, seconds=3600, file_size=settings.MAX_UPLOAD
    )


def short_limits() -> ProgramLimits:
    """Return the limits of a command that reads only refs or a few objects."""
    return ProgramLimits(
        memory=settings.PUSH_MEMORY, cpu_seconds=30, seconds=60, file_size=settings.MAX_UPLOAD
    )


def pack_limits() -> ProgramLimits:
    """Return the limits of a repack, which writes a whole repository again."""
    return ProgramLimits(
        memory=settings.PUSH_MEMORY, cpu_seconds=600, seconds=1800, file_size=16 * 2**30
    )


def open_pushes(app: App, person: Person) -> list[Limit]:
    """Return the slots that a push holds from its beginning to the end of its deploy. An app that
    is not saved yet has no repository to lock."""
    return [
        Limit(kind=SlotKind.TEAM_OPEN, holder=app.team_id, most=MOST_OPEN),
        Limit(kind=SlotKind.PERSON_OPEN, holder=person.pk, most=MOST_OPEN),
        *([writing(app)] if not is_new(app) else []),
    ]


def writing(app: App) -> Limit:
    """Return the shared lock of all writers of a repository. It prevents the removal of their
    partial files."""
    return Limit(kind=SlotKind.REPOSITORY, holder=app.pk, most=1, is_shared=True)


def unpacking(app: App, person: Person) -> list[Limit]:
    """Return the slots that a push holds while git reads the sent data."""
    return [
        Limit(kind=SlotKind.TEAM_UNPACKING, holder=app.team_id, most=_UNPACKING),
        Limit(kind=SlotKind.PERSON_UNPACKING, holder=person.pk, most=_UNPACKING),
        Limit(kind=SlotKind.ALL_UNPACKING, holder=0, most=_at_once()),
    ]


def fetching(app: App) -> list[Limit]:
    """Return the slots of a fetch, or of a request for the refs."""
    return [
        Limit(kind=SlotKind.TEAM_FETCHING, holder=app.team_id, most=_FETCHING),
        Limit(kind=SlotKind.ALL_FETCHING, holder=0, most=_at_once()),
    ]


def _at_once() -> int:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(max(memory // _SHARE // settings.PUSH_MEMORY, 2), _MOST_AT_ONCE)
