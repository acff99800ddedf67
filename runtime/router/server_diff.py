"""Commands that make a slot's servers in a running HAProxy equal to the desired ones. Pure.

The module reads no socket and sends nothing.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

from runtime.router.config.render import instance_of, server_name, server_options
from runtime.router.map_entries import slot_name
from runtime.router.policy import Link
from runtime.router.routes import Endpoint

_MAINTENANCE = 0x01 | 0x02 | 0x04  # SRV_ADMF_FMAINT, IMAINT, CMAINT (haproxy, server-t.h)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveServer:
    """The current state of a server in HAProxy."""

    name: str
    address: str
    port: int
    maintenance: bool
    weight: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotDelta:
    """Commands in three steps, so that an app always has its best servers."""

    open: tuple[str, ...] = ()  # new servers, and those that get traffic again
    close: tuple[str, ...] = ()  # servers that get no new requests
    # close connections and delete servers; one still in use is retried later
    delete: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.open or self.close)


def slot_delta(
    slot: int,
    wanted: Iterable[Endpoint],
    live: Iterable[LiveServer],
    *,
    link: Link = Link.FRESH,
    kept: Container[str] = (),
) -> SlotDelta:
    """Return the commands that change a slot's servers from `live` to `wanted`.

    `kept` names instances that the app still has in other slots; their requests are not cut.
    """
    backend = slot_name(slot)
    present = {server.name: server for server in live}
    opening: list[str] = []
    closing: list[str] = []
    added = False
    for end in wanted:
        server = present.pop(server_name(end, link), None)
        name = f"{backend}/{server_name(end, link)}"
        if server is None:
            added = True
            # starts in maintenance
            opening.append(f"add server {name} {server_options(end, link)}")
            opening += [] if end.draining else [f"enable server {name}"]
            continue
        if (server.address, server.port) != (end.address, end.port):
            opening.append(f"set server {name} addr {end.address} port {end.port}")
        if server.weight != end.weight:
            opening.append(f"set server {name} weight {end.weight}")
        if server.maintenance and not end.draining:
            opening.append(f"set server {name} state ready")
        elif end.draining and not server.maintenance:
            closing.append(f"set server {name} state maint")
    if added:
        # else an added server has no sticky cookie
        opening.append(f"enable dynamic-cookie backend {backend}")
    closing += [
        f"set server {backend}/{name} state maint"
        for name, server in present.items()
        if not server.maintenance
    ]
    deleting = [
        (
            f"del server {backend}/{name}"
            if instance_of(name) in kept
            else f"shutdown sessions server {backend}/{name}; del server {backend}/{name}"
        )
        for name in present
    ]
    return SlotDelta(open=tuple(opening), close=tuple(closing), delete=tuple(deleting))


def live_servers(answer: str) -> dict[str, list[LiveServer]]:
    """Return the servers by backend, from the answer to `show servers state`."""
    servers: dict[str, list[LiveServer]] = {}
    for line in answer.splitlines():
        fields = line.split()
        if len(fields) < 19 or line.startswith("#"):
            continue
        server = LiveServer(
            name=fields[3],
            address=fields[4],
            port=int(fields[18]),
            maintenance=bool(int(fields[6]) & _MAINTENANCE),
            weight=int(fields[7]),
        )
        servers.setdefault(fields[1], []).append(server)
    return servers
