"""What git may use: memory, time and disk of one push or fetch, and how many there may be at the same time."""

from __future__ import annotations

import os

from django.conf import settings

from portal.accounts.models import Person
from portal.apps.models import App
from portal.gitserver.slots import Kind, Limit
from portal.programs.limits import MIB, Limits

QUEUE_SECONDS = 30.0  # how long a push or fetch waits for its turn
RETRY_SECONDS = 30  # what a client that was refused is told to wait
MOST_OPEN = 10  # pushes of one team, and of one person, builds they wait for included
_UNPACKING, _FETCHING = 2, 4  # of one team, and of one person
_MOST_AT_ONCE = 16  # of all teams together
_SHARE = 4  # of this machine's memory, pushes together get one part in so many


def push_limits(most_bytes: int) -> Limits:
    """Return the limits of one push. The clock stops when its files are in; its build has limits of its own."""
    return Limits(memory=settings.PUSH_MEMORY, cpu_seconds=300, seconds=600, file_size=max(most_bytes, settings.MAX_UPLOAD) + MIB)


def fetch_limits() -> Limits:
    """Return the limits of one clone or fetch."""
    return Limits(memory=settings.PUSH_MEMORY, cpu_seconds=300, seconds=3600, file_size=settings.MAX_UPLOAD)


def short_limits() -> Limits:
    """Return the limits of a command that only looks at refs or a few objects."""
    return Limits(memory=settings.PUSH_MEMORY, cpu_seconds=30, seconds=60, file_size=settings.MAX_UPLOAD)


def pack_limits() -> Limits:
    """Return the limits of putting many packs into one. It writes a whole repository again."""
    return Limits(memory=settings.PUSH_MEMORY, cpu_seconds=600, seconds=1800, file_size=16 * 2**30)


def open_pushes(app: App, person: Person) -> list[Limit]:
    """Return the slots of a push from its beginning to the end of its deploy."""
    return [
        Limit(kind=Kind.TEAM_OPEN, holder=app.team_id, most=MOST_OPEN),
        Limit(kind=Kind.PERSON_OPEN, holder=person.pk, most=MOST_OPEN),
        writing(app),
    ]


def writing(app: App) -> Limit:
    """Return the mark of all who write to a repository: what they have half received is not cleaned away."""
    return Limit(kind=Kind.REPOSITORY, holder=app.pk, most=1, is_shared=True)


def unpacking(app: App, person: Person) -> list[Limit]:
    """Return the slots of a push while git reads what was sent."""
    return [
        Limit(kind=Kind.TEAM_UNPACKING, holder=app.team_id, most=_UNPACKING),
        Limit(kind=Kind.PERSON_UNPACKING, holder=person.pk, most=_UNPACKING),
        Limit(kind=Kind.ALL_UNPACKING, holder=0, most=_at_once()),
    ]


def fetching(app: App) -> list[Limit]:
    """Return the slots of a fetch, or of a look at the refs."""
    return [
        Limit(kind=Kind.TEAM_FETCHING, holder=app.team_id, most=_FETCHING),
        Limit(kind=Kind.ALL_FETCHING, holder=0, most=_at_once()),
    ]


def _at_once() -> int:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(max(memory // _SHARE // settings.PUSH_MEMORY, 2), _MOST_AT_ONCE)
