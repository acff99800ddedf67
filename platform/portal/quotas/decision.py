"""May this team do that? Decided here and nowhere else.

Each check must run inside the transaction that makes the change: it takes the lock on the team's quota row first (on SQLite the
transaction is IMMEDIATE and holds the only write lock), so of any number of concurrent requests exactly the limit get through.
A change that does not make the use larger is never refused, also when a lowered quota is passed already.
Rollouts run old and new instances side by side for a moment; that overlap and one-off release instances are not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from django.db import connection

from portal.accounts.access import admin_names
from portal.accounts.models import Team
from portal.apps.models import App, ProcessFormation
from portal.apps.sizes import Size
from portal.errors import QuotaExceeded
from portal.quotas import amounts
from portal.quotas.models import Quota


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamUse:
    """What a team has booked: apps it owns, and the sum over all formations."""

    apps: int = 0
    instances: int = 0
    cpu: int = 0
    memory: int = 0
    disk: int = 0


_FOR_CODE = 10  # one part in so many
_WORDS = {"apps": "apps", "instances": "instances", "cpu": "CPU", "memory": "memory", "disk": "disk", "processes": "processes"}
_PRINT = {"cpu": amounts.cpu, "memory": amounts.size, "disk": amounts.size}


def lock(team: Team) -> Quota:
    """The team's quota row, held until the transaction ends."""
    assert connection.in_atomic_block, "a quota is decided in the transaction that makes the change"
    return Quota.objects.select_for_update().get(team=team)


def use_of(team: Team) -> TeamUse:
    """What is booked now."""
    return total(App.objects.filter(team=team, deleted_at=None).count(), {(row.app_id, row.process): Size.of(row) for row in _rows(team)})


def total(apps: int, sizes: Mapping[tuple[int, str], Size]) -> TeamUse:
    """Sums of a formation of several apps."""
    return TeamUse(
        apps=apps,
        instances=sum(size.count for size in sizes.values()),
        cpu=sum(size.count * size.cpu for size in sizes.values()),
        memory=sum(size.count * size.memory for size in sizes.values()),
        disk=sum(size.count * size.disk for size in sizes.values()),
    )


def check_new_app(team: Team) -> None:
    """May the team have one app more?"""
    quota, now = lock(team), use_of(team)
    if now.apps + 1 > quota.apps:
        raise _exceeded(team, "apps", quota.apps, now.apps, now.apps + 1)


def check_formation(team: Team, app: App, sizes: Mapping[str, Size]) -> None:
    """May these process types of the app have these sizes, its others staying as they are?"""
    quota = lock(team)
    rows = {(row.app_id, row.process): Size.of(row) for row in _rows(team)}
    for process, size in sizes.items():
        _check_one(team, quota, process, size, rows.get((app.pk, process)))
    wanted = {**rows, **{(app.pk, process): size for process, size in sizes.items()}}
    _check_sums(team, quota, total(0, rows), total(0, wanted))


def check_build(team: Team, app: App) -> None:
    """May the app be deployed? Not while the team is over a sum, nor where its first instance would not fit."""
    quota = lock(team)
    rows = {(row.app_id, row.process): Size.of(row) for row in _rows(team)}
    wanted = dict(rows)
    if not any(owner == app.pk for owner, _ in rows):
        wanted[app.pk, "web"] = first_size(quota)
    apps = App.objects.filter(team=team, deleted_at=None).count()
    if apps > quota.apps:
        raise _exceeded(team, "apps", quota.apps, apps, apps)
    _check_sums(team, quota, TeamUse(), total(0, wanted), shown=total(0, rows))


def check_received(team: Team, received: int) -> None:
    """May so many bytes of the team's pushes lie on disk before a release has them? They count beside the disk that it has booked.

    Asked again and again while bytes arrive, so without the lock: uploads side by side may pass the limit by a few blocks.
    """
    quota, booked = Quota.objects.get(team=team), use_of(team).disk
    if received and booked + received > quota.disk:
        raise _exceeded(team, "disk", quota.disk, booked, booked + received)


def code_left(team: Team, code: int, received: int) -> int:
    """Return how many bytes the team's git repositories may grow, beside the `code` that they have. QuotaExceeded: none.

    They count like what its registry has `received`; but a tenth of its disk is for code, whatever its instances have booked.
    """
    quota, booked = Quota.objects.get(team=team), use_of(team).disk
    left = max(quota.disk - booked - received, quota.disk // _FOR_CODE) - code
    if left <= 0:
        raise _exceeded(team, "disk", quota.disk, booked, booked + received + code)
    return left


def first_size(quota: Quota, count: int = 1) -> Size:
    """The size a new process type gets: the default, or what one instance of the team may have where that is less."""
    return held_to(Size(count=count), quota)


def held_to(size: Size, quota: Quota) -> Size:
    """What the kernel is told: the formation's size, cut to what one instance may have today."""
    return Size(
        count=size.count,
        cpu=min(size.cpu, quota.cpu_per_instance),
        memory=min(size.memory, quota.memory_per_instance),
        processes=min(size.processes, quota.processes_per_instance),
        disk=min(size.disk, quota.disk_per_instance),
    )


def over(quota: Quota, use: TeamUse) -> list[str]:
    """The words of the limits that the use is beyond: "CPU (3 CPU of 2 CPU)"."""
    return [
        f"{_WORDS[field.name]} ({_text(field.name, getattr(use, field.name))} of {_text(field.name, getattr(quota, field.name))})"
        for field in fields(use)
        if getattr(use, field.name) > getattr(quota, field.name)
    ]


def _rows(team: Team) -> list[ProcessFormation]:
    return list(ProcessFormation.objects.filter(app__team=team, app__deleted_at=None))


def _check_one(team: Team, quota: Quota, process: str, size: Size, before: Size | None) -> None:
    for name in ("cpu", "memory", "processes", "disk"):
        limit, wanted = getattr(quota, f"{name}_per_instance"), getattr(size, name)
        if wanted > limit and (before is None or wanted > getattr(before, name)):
            words = f"One instance of team {team.name} may have at most {_text(name, limit)}{_unit(name)}; {process} asks for {_text(name, wanted)}."
            used = _text(name, getattr(before, name)) if before else "nothing"
            raise QuotaExceeded(
                words, hint=_remedy(), name=f"{name}_per_instance", limit=_text(name, limit), used=used, wanted=_text(name, wanted)
            )


def _check_sums(team: Team, quota: Quota, now: TeamUse, wanted: TeamUse, *, shown: TeamUse | None = None) -> None:
    for name in ("instances", "cpu", "memory", "disk"):
        limit, then = getattr(quota, name), getattr(wanted, name)
        if then > limit and then > getattr(now, name):
            raise _exceeded(team, name, limit, getattr(shown or now, name), then)


def _exceeded(team: Team, name: str, limit: int, used: int, wanted: int) -> QuotaExceeded:
    texts = {key: _text(name, value) for key, value in (("limit", limit), ("used", used), ("wanted", wanted))}
    after = f"; this would make {texts['wanted']}" if wanted > used else ""
    sentence = f"Team {team.name} may have {texts['limit']}{_unit(name)} in all and has {texts['used']}{after}."
    return QuotaExceeded(sentence, hint=_remedy(), name=name, **texts)


def _remedy() -> str:
    return f"Use less elsewhere, or ask an admin of this Slipway to raise it: {admin_names()}."


def _text(name: str, value: int) -> str:
    return _PRINT.get(name, amounts.number)(value)


def _unit(name: str) -> str:
    """What follows the amount in a sentence; CPU says it itself."""
    return {"cpu": "", "memory": " of memory", "disk": " of disk"}.get(name, f" {_WORDS[name]}")
