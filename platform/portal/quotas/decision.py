"""Decide whether a quota allows a change. All decisions are made in this module.

Each check must run inside the transaction that makes the change. It first locks the team's quota
row (on SQLite the transaction is IMMEDIATE and holds the only write lock). So of several
simultaneous requests, only as many succeed as the limit allows. A change that does not increase the
use is never refused, even if a lowered quota is already exceeded. Rollouts run old and new
instances next to each other for a moment. This overlap and one-off release instances are not
counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from django.db import connection
from django.db.models import Q, QuerySet

from portal.accounts.access import admin_names
from portal.accounts.models import Team
from portal.apps.models import App, ProcessFormation
from portal.apps.sizes import Size
from portal.apps.volumes import stored_bytes_of
from portal.errors import QuotaExceeded
from portal.quotas import amounts
from portal.quotas.models import Quota


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamUse:
    """The resources that a team has allocated: its apps, and the sum over all formations."""

    apps: int = 0
    instances: int = 0
    cpu: int = 0
    memory: int = 0
    disk: int = 0


_FOR_CODE = 10  # a tenth of the disk quota is reserved for code
_WORDS = {
    "apps": "apps",
    "instances": "instances",
    "cpu": "CPU",
    "memory": "memory",
    "disk": "disk",
    "processes": "processes",
}
_PRINT = {"cpu": amounts.cpu, "memory": amounts.size, "disk": amounts.size}


def lock(team: Team) -> Quota:
    """Return the team's quota row, locked until the transaction ends."""
    assert connection.in_atomic_block, (
        "a quota must be checked in the transaction that makes the change"
    )
    return Quota.objects.select_for_update().get(team=team)


def use_of(team: Team) -> TeamUse:
    """Return the current allocation."""
    return total(
        App.objects.filter(team=team, deleted_at=None).count(),
        {(row.app_id, row.process): Size.of(row) for row in _rows(team)},
        stored_bytes_of(team),
    )


def total(apps: int, sizes: Mapping[tuple[int, str], Size], stored: int) -> TeamUse:
    """Return the sums of the formation of several apps, and of `stored` bytes of volumes."""
    return TeamUse(
        apps=apps,
        instances=sum(size.count for size in sizes.values()),
        cpu=sum(size.count * size.cpu for size in sizes.values()),
        memory=sum(size.count * size.memory for size in sizes.values()),
        disk=stored + sum(size.count * size.disk for size in sizes.values()),
    )


def check_new_app(team: Team) -> None:
    """Raise QuotaExceeded unless the team may have another app."""
    quota, now = lock(team), use_of(team)
    if now.apps + 1 > quota.apps:
        raise _exceeded(team, "apps", quota.apps, now.apps, now.apps + 1)


def check_formation(team: Team, app: App, sizes: Mapping[str, Size]) -> None:
    """Raise QuotaExceeded unless these process types of the app may have these sizes. Other process
    types do not change."""
    quota = lock(team)
    rows = {(row.app_id, row.process): Size.of(row) for row in _rows(team)}
    for process, size in sizes.items():
        _check_one(team, quota, process, size, rows.get((app.pk, process)))
    wanted = {**rows, **{(app.pk, process): size for process, size in sizes.items()}}
    stored = stored_bytes_of(team)
    _check_sums(team, quota, total(0, rows, stored), total(0, wanted, stored))


def check_build(team: Team, app: App) -> None:
    """Raise QuotaExceeded unless the app may be deployed.

    A deploy is refused while the team exceeds a sum, or if the app's first instance would not fit.
    """
    quota = lock(team)
    rows = {(row.app_id, row.process): Size.of(row) for row in _rows(team)}
    wanted = dict(rows)
    if not any(owner == app.pk for owner, _ in rows):
        wanted[app.pk, "web"] = first_size(quota)
    apps = App.objects.filter(team=team, deleted_at=None).count()
    if apps > quota.apps:
        raise _exceeded(team, "apps", quota.apps, apps, apps)
    stored = stored_bytes_of(team)
    _check_sums(team, quota, TeamUse(), total(0, wanted, stored), shown=total(0, rows, stored))


def check_stored(team: Team, more: int) -> None:
    """Raise QuotaExceeded unless the team's volumes and snapshots may have `more` bytes."""
    quota, now = lock(team), use_of(team)
    if more > 0 and now.disk + more > quota.disk:
        raise _exceeded(team, "disk", quota.disk, now.disk, now.disk + more)


def check_received(team: Team, received: int) -> None:
    """Raise QuotaExceeded unless the team may have this many received bytes that are not yet part
    of a release.

    They count in addition to the allocated disk. The check is repeated while bytes arrive, so it
    runs without the lock: simultaneous uploads may exceed the limit by a few blocks.
    """
    quota, booked = Quota.objects.get(team=team), use_of(team).disk
    if received and booked + received > quota.disk:
        raise _exceeded(team, "disk", quota.disk, booked, booked + received)


def code_left(team: Team, code: int, received: int) -> int:
    """Return how many bytes the team's git repositories may grow beyond the `code` bytes that they
    have.

    Raise QuotaExceeded if there are none. The bytes count like those that the registry has
    `received`. A tenth of the team's disk is always available for code, whatever its instances have
    allocated.
    """
    quota, booked = Quota.objects.get(team=team), use_of(team).disk
    left = max(quota.disk - booked - received, quota.disk // _FOR_CODE) - code
    if left <= 0:
        raise _exceeded(team, "disk", quota.disk, booked, booked + received + code)
    return left


def first_size(quota: Quota, count: int = 1) -> Size:
    """Return the size of a new process type: the default, or the limit per instance if that is
    smaller."""
    return limited_by(Size(count=count), quota)


def limited_by(size: Size, quota: Quota) -> Size:
    """Return the size that the kernel enforces: the formation's size, limited by the current limits
    per instance."""
    return Size(
        count=size.count,
        cpu=min(size.cpu, quota.cpu_per_instance),
        memory=min(size.memory, quota.memory_per_instance),
        processes=min(size.processes, quota.processes_per_instance),
        disk=min(size.disk, quota.disk_per_instance),
    )


def over(quota: Quota, use: TeamUse) -> list[str]:
    """Describe the limits that the use exceeds: "CPU (3 CPU of 2 CPU)"."""
    return [
        f"{_WORDS[field.name]} ({_text(field.name, getattr(use, field.name))} of"
        f" {_text(field.name, getattr(quota, field.name))})"
        for field in fields(use)
        if getattr(use, field.name) > getattr(quota, field.name)
    ]


def allocated() -> QuerySet[ProcessFormation]:
    """Return the formations that count: of apps that are live, or are rolled out now.

    An app whose first rollouts all failed has no instances, so it has no share of the quota.
    """
    holds = Q(app__current_release__isnull=False) | Q(
        app__in=App.objects.filter(
            releases__rollouts__isnull=False, releases__rollouts__finished_at=None
        )
    )
    return ProcessFormation.objects.filter(holds, app__deleted_at=None)


def _rows(team: Team) -> list[ProcessFormation]:
    return list(allocated().filter(app__team=team))


def _check_one(team: Team, quota: Quota, process: str, size: Size, before: Size | None) -> None:
    for name in ("cpu", "memory", "processes", "disk"):
        limit, wanted = getattr(quota, f"{name}_per_instance"), getattr(size, name)
        if wanted > limit and (before is None or wanted > getattr(before, name)):
            words = (
                f"One instance of team {team.name} may have at most"
                f" {_text(name, limit)}{_unit(name)}; {process} needs {_text(name, wanted)}."
            )
            used = _text(name, getattr(before, name)) if before else "nothing"
            raise QuotaExceeded(
                words,
                hint=_remedy(),
                name=f"{name}_per_instance",
                limit=_text(name, limit),
                used=used,
                wanted=_text(name, wanted),
            )


def _check_sums(
    team: Team, quota: Quota, now: TeamUse, wanted: TeamUse, *, shown: TeamUse | None = None
) -> None:
    for name in ("instances", "cpu", "memory", "disk"):
        limit, then = getattr(quota, name), getattr(wanted, name)
        if then > limit and then > getattr(now, name):
            raise _exceeded(team, name, limit, getattr(shown or now, name), then)


def _exceeded(team: Team, name: str, limit: int, used: int, wanted: int) -> QuotaExceeded:
    texts = {
        key: _text(name, value)
        for key, value in (("limit", limit), ("used", used), ("wanted", wanted))
    }
    after = f"; the change would need {texts['wanted']}" if wanted > used else ""
    sentence = (
        f"The quota of team {team.name} is {texts['limit']}{_unit(name)} in total. It uses"
        f" {texts['used']}{after}."
    )
    return QuotaExceeded(sentence, hint=_remedy(), name=name, **texts)


def _remedy() -> str:
    return (
        "Reduce the usage elsewhere, or ask an admin of this Slipway to raise the quota:"
        f" {admin_names()}."
    )


def _text(name: str, value: int) -> str:
    return _PRINT.get(name, amounts.number)(value)


def _unit(name: str) -> str:
    """Return the noun after the amount in a sentence. The amount of CPU already contains it."""
    return {"cpu": "", "memory": " of memory", "disk": " of disk"}.get(name, f" {_WORDS[name]}")
