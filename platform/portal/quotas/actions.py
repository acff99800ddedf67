"""Writes to quotas."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import transaction

from portal.accounts.access import require_admin
from portal.accounts.models import Person, Team
from portal.activity import audit
from portal.errors import ValueRefused
from portal.queue import Task, enqueue
from portal.quotas.decision import lock
from portal.quotas.models import Quota

LIMITS = tuple(field.name for field in Quota._meta.get_fields() if field.name not in ("id", "team", "updated_at"))
_LEAST = {"cpu": 50, "cpu_per_instance": 50, "memory": 32 * 2**20, "memory_per_instance": 32 * 2**20, "processes_per_instance": 8}
_MOST = 2**31 - 1
_MOST_BYTES = 2**53


@transaction.atomic
def set_quota(actor: Person, *, team: Team, limits: Mapping[str, int]) -> Quota:
    """Change some of a team's limits; admins may. Lowering below the use is allowed: nothing is stopped, the kernel holds
    CPU and memory to the new sums, and whatever would use more is refused until the use fits (`decision.over` says what)."""
    require_admin(actor)
    quota = lock(team)
    changed = []
    for name, value in limits.items():
        if name not in LIMITS:
            raise ValueRefused(f"There is no limit called {name}.", field=name, hint=f"Limits are {', '.join(LIMITS)}.")
        least, most = _LEAST.get(name, 0), _MOST_BYTES if name.startswith(("memory", "disk")) else _MOST
        if not least <= value <= most:
            raise ValueRefused(f"{name} cannot be {value}: it is at least {least} and at most {most}.", field=name)
        if getattr(quota, name) != value:
            changed.append(f"{name} {getattr(quota, name)} → {value}")
            setattr(quota, name, value)
    if changed:
        quota.save()
        audit.record(actor, f"set the quota: {', '.join(changed)}", team=team)
        enqueue(Task.APPLY_QUOTA, team.pk)
    return quota
