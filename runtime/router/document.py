"""Conversion of an app's routes to and from the JSON document that `Ledger` stores. Pure.

A field that is missing in an older document gets its default. So a node continues to serve its apps
after an upgrade.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from ipaddress import ip_network
from typing import Any

from runtime.router.policy import BasicAuth, Credential, Policy, RequestLimits
from runtime.router.routes import WEB, AppRoutes, AppSituation, Canary, Endpoint, PathRoute


def to_document(routes: AppRoutes, slots: Mapping[str, int]) -> dict[str, Any]:
    """Return the routes and slots as a value for `json.dumps`."""
    document = asdict(routes)
    document["policy"]["allowed"] = [str(network) for network in routes.policy.allowed]
    return {"slots": dict(slots), **document}


def from_document(document: Mapping[str, Any]) -> tuple[AppRoutes, dict[str, int]]:
    """Return the routes and slots of a document.

    Raise ValueError, KeyError, TypeError or AttributeError for an invalid document.
    """
    slots = document["slots"] if "slots" in document else {WEB: document["slot"]}
    if not all(isinstance(slot, int) for slot in slots.values()):
        raise TypeError(f"invalid slots: {slots}")
    canary = document.get("canary")
    routes = AppRoutes(
        app=str(document["app"]),
        hosts=tuple(document["hosts"]),
        endpoints=tuple(Endpoint(**endpoint) for endpoint in document["endpoints"]),
        situation=AppSituation(document["situation"]),
        policy=_policy(document.get("policy", {})),
        paths=tuple(_path(path) for path in document.get("paths", ())),
        canary=Canary(**canary) if canary else None,
    )
    return routes, dict(slots)


def _path(document: Mapping[str, Any]) -> PathRoute:
    fields = dict(document)
    return PathRoute(
        situation=AppSituation(fields.pop("situation", AppSituation.SERVING)), **fields
    )


def _policy(document: Mapping[str, Any]) -> Policy:
    fields = dict(document)
    auth = fields.pop("auth", None)
    return Policy(
        limits=RequestLimits(**fields.pop("limits", {})),
        allowed=tuple(ip_network(network) for network in fields.pop("allowed", ())),
        auth=(
            BasicAuth(
                salt=auth["salt"],
                credentials=tuple(Credential(**credential) for credential in auth["credentials"]),
            )
            if auth
            else None
        ),
        **fields,
    )
