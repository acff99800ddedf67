"""Conversion of an app's routes to and from the JSON document that `Ledger` stores. Pure.

A field that is missing in an older document gets its default. So a node continues to serve its apps
after an upgrade.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_network
from typing import Any

from runtime.contract.json_values import from_json, to_json
from runtime.router.policy import Policy
from runtime.router.routes import WEB, AppRoutes


@dataclass(frozen=True, slots=True, kw_only=True)
class _StoredPolicy(Policy):
    # msgspec cannot choose between IPv4Network and IPv6Network.
    allowed: tuple[str, ...] = ()  # type: ignore[assignment]  # the text of each network


@dataclass(frozen=True, slots=True, kw_only=True)
class _StoredRoutes(AppRoutes):
    policy: _StoredPolicy = field(default_factory=_StoredPolicy)
    slots: Mapping[str, int] = field(default_factory=dict)
    slot: int | None = None  # that of `web`, in documents of releases without paths


def to_document(routes: AppRoutes, slots: Mapping[str, int]) -> dict[str, Any]:
    """Return the routes and slots as a value for `json.dumps`."""
    return {"slots": dict(slots), **to_json(routes)}


def from_document(document: Mapping[str, Any]) -> tuple[AppRoutes, dict[str, int]]:
    """Return the routes and slots of a document. Raise ValueError if it is not valid."""
    stored = from_json(document, _StoredRoutes)
    allowed = tuple(ip_network(network) for network in stored.policy.allowed)
    policy = Policy(**{**_fields(stored.policy, Policy), "allowed": allowed})
    slots = dict(stored.slots) if stored.slot is None else {WEB: stored.slot}
    return AppRoutes(**{**_fields(stored, AppRoutes), "policy": policy}), slots


def _fields(value: object, kind: type[Policy | AppRoutes]) -> dict[str, Any]:
    return {found.name: getattr(value, found.name) for found in fields(kind)}
