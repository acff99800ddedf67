"""Change quotas and network policies."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import transaction

from portal.accounts.access import require_admin
from portal.accounts.models import Person, Team
from portal.activity import audit
from portal.errors import ValueRefused
from portal.queue import Task, enqueue
from portal.quotas import amounts
from portal.quotas import destinations as allow_list
from portal.quotas.access import network_policy_of
from portal.quotas.decision import lock
from portal.quotas.models import Egress, NetworkPolicy, Quota

LIMITS = tuple(
    field.name
    for field in Quota._meta.get_fields()
    if field.name not in ("id", "team", "updated_at")
)
_LEAST = {
    "cpu": 50,
    "cpu_per_instance": 50,
    "memory": 32 * 2**20,
    "memory_per_instance": 32 * 2**20,
    "processes_per_instance": 8,
}
_MOST = 2**31 - 1
_MOST_BYTES = 2**53
_LEAST_BANDWIDTH, _MOST_BANDWIDTH = 64_000, 100_000_000_000  # bits per second


@transaction.atomic
def set_quota(actor: Person, *, team: Team, limits: Mapping[str, int]) -> Quota:
    """Change some of a team's limits. Only admins may.

    A limit may be lower than the current use: nothing is stopped. The kernel enforces the new sums
    of CPU and memory. Changes that need more are refused until the use is below the limit
    (`decision.over` describes it).
    """
    require_admin(actor)
    quota = lock(team)
    changed = []
    for name, value in limits.items():
        if name not in LIMITS:
            raise ValueRefused(
                f"{name} is not a valid limit.",
                field=name,
                hint=f"The limits are {', '.join(LIMITS)}.",
            )
        least, most = (
            _LEAST.get(name, 0),
            (_MOST_BYTES if name.startswith(("memory", "disk")) else _MOST),
        )
        if not least <= value <= most:
            raise ValueRefused(
                f"{name.replace('_', ' ')} cannot be {amounts.limit(name, value)}. The minimum is"
                f" {amounts.limit(name, least)}, the maximum {amounts.limit(name, most)}.",
                field=name,
            )
        if getattr(quota, name) != value:
            before, after = (amounts.limit(name, x) for x in (getattr(quota, name), value))
            changed.append(f"{name.replace('_', ' ')} {before} → {after}")
            setattr(quota, name, value)
    if changed:
        quota.save()
        audit.record(actor, f"set the quota: {', '.join(changed)}", team=team)
        enqueue(Task.APPLY_QUOTA, team.pk)
    return quota


@transaction.atomic
def set_network_policy(
    actor: Person,
    *,
    team: Team,
    egress: str,
    destinations: str,
    builds_open: bool,
    bandwidth: int,
    substitutes: bool = False,
) -> NetworkPolicy:
    """Set the addresses and the bandwidth of a team's containers. Only admins may.

    The policy also applies to running instances, without a restart. `destinations` has the lines of
    the allow list, which are stored even while another policy is active. `bandwidth` is in bits per
    second, 0 for unlimited. `substitutes` allows builds to use stacks for official base images that
    cannot be fetched.
    """
    require_admin(actor)
    if egress not in Egress.values:
        raise ValueRefused(
            f"{egress!r} is not a valid egress policy.",
            field="egress",
            hint=f"Use one of {', '.join(Egress.values)}.",
        )
    if bandwidth and not _LEAST_BANDWIDTH <= bandwidth <= _MOST_BANDWIDTH:
        limits = (
            f"at least {amounts.rate(_LEAST_BANDWIDTH)} and at most {amounts.rate(_MOST_BANDWIDTH)}"
        )
        raise ValueRefused(
            f"The bandwidth cannot be {amounts.rate(bandwidth)}. It must be {limits}, or 0 for"
            " unlimited.",
            field="bandwidth",
        )
    lines = allow_list.parse(destinations)
    if egress == Egress.ALLOW_LIST and not lines:
        raise ValueRefused(
            "The allow list is empty.",
            field="destinations",
            hint="Add a line, or choose the policy None.",
        )
    lock(team)
    policy = network_policy_of(team)
    wanted = {
        "egress": egress,
        "destinations": "\n".join(lines),
        "builds_open": builds_open,
        "bandwidth": bandwidth,
        "substitutes": substitutes,
    }
    changes = [
        _change(name, getattr(policy, name), value)
        for name, value in wanted.items()
        if getattr(policy, name) != value
    ]
    if changes:
        for name, value in wanted.items():
            setattr(policy, name, value)
        policy.save()
        audit.record(actor, f"set the network policy: {', '.join(changes)}", team=team)
        enqueue(Task.APPLY_QUOTA, team.pk)
    return policy


def _change(name: str, before: object, after: object) -> str:
    match name:
        case "destinations":
            old, new = set(str(before).splitlines()), set(str(after).splitlines())
            return "allow list " + " ".join(
                [
                    *(f"+{line}" for line in sorted(new - old)),
                    *(f"-{line}" for line in sorted(old - new)),
                ]
            )
        case "builds_open":
            return "builds may connect to the internet" if after else "builds follow the policy"
        case "substitutes":
            return (
                "builds may use stacks instead of base images"
                if after
                else "builds use only the base images that they name"
            )
        case "bandwidth":
            return f"bandwidth {_speed(before)} → {_speed(after)}"
        case _:
            return f"{name} {before} → {after}"


def _speed(value: object) -> str:
    return amounts.rate(value) if isinstance(value, int) and value else "unlimited"
