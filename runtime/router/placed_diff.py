"""The differences between an app's placed routes and HAProxy, as commands of its Runtime API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from runtime.router.config.render import server_name
from runtime.router.route_store import StoredRoutes
from runtime.router.server_diff import LiveServer, SlotDelta, slot_delta

Entries = Mapping[Path, Mapping[str, str]]  # entries of maps, by map


def servers_delta(slot: int, owner: StoredRoutes | None, live: Iterable[LiveServer]) -> SlotDelta:
    """Return the difference of a slot's live servers from those of its owner, or from none."""
    if owner is None:
        return slot_delta(slot, (), live)
    kept = {end.instance for end in owner.routes.endpoints}
    return slot_delta(slot, owner.filled()[slot], live, link=owner.routes.policy.link, kept=kept)


def expected_servers(placed: StoredRoutes, slot: int) -> list[LiveServer]:
    """Return the expected servers of a slot."""
    link = placed.routes.policy.link
    return [
        LiveServer(
            name=server_name(end, link),
            address=end.address,
            port=end.port,
            maintenance=end.draining,
            weight=end.weight,
        )
        for end in placed.filled().get(slot, ())
    ]


def entry_edits(wanted: Entries, there: Entries) -> list[str]:
    """Return the commands that change entries from `there` to `wanted`, in the order of the
    maps.
    """
    return [
        f"{'set' if key in there.get(path, {}) else 'add'} map {path} {key} {value}"
        for path, entries in wanted.items()
        for key, value in entries.items()
        if there.get(path, {}).get(key) != value
    ]


def entry_removals(wanted: Entries, there: Entries) -> list[str]:
    """Return the commands that remove entries of `there` that are not in `wanted`, hosts first."""
    return [
        f"del map {path} {key}"
        for path in reversed(list(there))
        for key in there[path]
        if key not in wanted[path]
    ]


def loses_last_server(placed: StoredRoutes, deltas: Iterable[SlotDelta]) -> bool:
    """Return whether a slot loses its last server that accepts new requests.

    Requests that chose this server a moment before would be refused.
    """
    slots = zip(deltas, placed.filled().values(), strict=True)
    return any(delta.close and all(end.draining for end in ends) for delta, ends in slots)
