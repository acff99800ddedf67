"""HAProxy's files as text: the fixed part, the slots, and the maps. Pure; `route_store` writes
them.

A slot is a backend that an app owns for as long as the app exists. HAProxy cannot create backends
at run time, but it can add and remove servers. `frontend` has the rules that a request passes
before it reaches a slot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runtime.config import NodeConfig
from runtime.contract.error_codes import Code
from runtime.router.config import connections, frontend, headers
from runtime.router.map_entries import SITUATIONS, Maps, slot_name
from runtime.router.policy import Link
from runtime.router.routes import AppSituation, Endpoint

PORTAL = "@portal"  # the portal's name in records; not a valid name of an app
PORTAL_BACKEND = "portal"
CONNECTIONS_PER_INSTANCE = 500  # concurrent connections; more requests wait in the router's queue
LUA = Path(__file__).with_name("wake.lua")
STICKY_COOKIE = "slipway-instance"
# TLS 1.2: only forward secrecy and authenticated encryption. All of TLS 1.3's ciphers have both.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_RING = 16 * 2**20  # bytes of access log while the collector is away: about 80,000 lines
# bytes of a line of the access log; a longer line is truncated, which affects only the path
LONGEST_LINE = 2_048
# The access log's fields, separated by spaces. The path is last and without its query: queries
# contain tokens, and many people read logs.
ACCESS_FIELDS = (
    "%[date(0,ms)]",
    "%[var(txn.app)]",
    "%ST",
    "%ts",
    "%[var(txn.code)]",
    "%s",
    "%U",
    "%B",
    "%Ta",
    "%Tw",
    "%[src]",
    "%[unique-id]",
    "%HM",
    "%HPO",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """User and group of the router's workers, once the master has opened what needs root."""

    user: str
    group: str


def slot_config(slot: int, endpoints: tuple[Endpoint, ...] = (), link: Link = Link.FRESH) -> str:
    """Return the complete configuration of a slot, so that a restart needs nothing else."""
    lines = [
        f"backend {slot_name(slot)} from slot",
        "  ignore-persist unless { var(txn.flags) -m sub k }",
    ]
    lines += [
        f"  server {server_name(end, link)}"
        f" {server_options(end, link)}{' disabled' if end.draining else ''}"
        for end in endpoints
    ]
    return "\n".join(lines) + "\n"


def server_name(endpoint: Endpoint, link: Link) -> str:
    """Return a server's name. It contains the kind of connections, which a server never changes.

    Another kind needs another server.
    """
    return f"{endpoint.instance}:{link}" if link else endpoint.instance


def instance_of(server: str) -> str:
    """Return the instance of a server's name: the inverse of `server_name`.

    "" for a server that is not an instance: HAProxy's `<NOSRV>`, and the one for held requests,
    whose instance is known by its address only.
    """
    return (
        ""
        if server.startswith("<") or server == frontend.ANY_INSTANCE
        else server.partition(":")[0]
    )


def server_options(endpoint: Endpoint, link: Link = Link.FRESH) -> str:
    """Return a server's options, the same in the file and in `add server`.

    Without a connection pool, each connection serves one request. So no request uses a connection
    that the app is closing, and a drained server can be deleted at once. With a pool, HAProxy
    closes half of the unneeded idle connections every few seconds.
    """
    options = {
        Link.FRESH: "pool-max-conn 0",
        Link.KEPT: "pool-max-conn 64 pool-purge-delay 5s",
        Link.HTTP2: "pool-max-conn 0 proto h2",
    }
    return (
        f"{endpoint.address}:{endpoint.port} weight {endpoint.weight} maxconn"
        f" {CONNECTIONS_PER_INSTANCE} {options[link]}"
    )


def portal_hosts(config: NodeConfig) -> tuple[str, ...]:
    """Return the hosts of the portal."""
    return (config.portal_host, "localhost", "127.0.0.1")


def portal_entries(config: NodeConfig, maps: Maps) -> dict[Path, dict[str, str]]:
    """Return the portal's entries, by map. No app can use its hosts."""
    flags = frontend.PORTAL_FLAG if config.portal_has_certificate else "-"
    record = "|".join([PORTAL, PORTAL_BACKEND, SITUATIONS[AppSituation.SERVING], flags])
    return {maps.hosts: dict.fromkeys(portal_hosts(config), record)}


def map_text(entries: Mapping[str, str]) -> str:
    """Return the text of a map file: one key and value per line, sorted."""
    return "".join(f"{key} {value}\n" for key, value in sorted(entries.items()))


def map_entries(text: str) -> dict[str, str]:
    """Parse the text of a map file: the inverse of `map_text`."""
    return dict(line.split(" ", 1) for line in text.splitlines() if " " in line)


def fixed_config(
    config: NodeConfig, maps: Maps, identity: Identity | None, *, cookie_key: str, threads: int
) -> str:
    """Return the configuration without the slots."""
    parts = [
        _global(config, identity, threads),
        _defaults(config, maps, cookie_key),
        frontend.frontend(config, maps),
        frontend.counters(),
        frontend.answers(maps),
        frontend.woken(),
        _portal(config, maps),
    ]
    return "\n\n".join(parts) + "\n"


def _global(config: NodeConfig, identity: Identity | None, threads: int) -> str:
    drop = f"\n  user {identity.user}\n  group {identity.group}" if identity else ""
    return f"""\
# Written by Slipway; changes here are overwritten.
global
  log stdout format raw daemon err
  stats socket {config.router_socket} mode 600 level admin
  stats maxconn 50
  maxconn {connections.MOST}
  nbthread {threads}
  no strict-limits
  hard-stop-after 1h{drop}
  tune.pattern.cache-size 0
  set-var proc.wake str({config.wake_socket})
  lua-load-per-thread {LUA}
  ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets
  ssl-default-bind-ciphers {_CIPHERS}

ring access
  format raw
  maxlen {LONGEST_LINE}
  size {_RING}
  timeout connect 2s
  timeout server 10s
  server collector {":".join(map(str, config.access_address))}"""


def _defaults(config: NodeConfig, maps: Maps, cookie_key: str) -> str:
    # HAProxy retries a request only if no instance can have acted on it: the connection was
    # refused, or a GET got no answer. Frontends need a separate `defaults` section: HAProxy allows
    # no section with rules for both kinds.
    return f"""\
defaults front
  mode http
  log global
  log ring@access len {LONGEST_LINE} format raw daemon
  log-format "{" ".join(ACCESS_FIELDS)}"
  option dontlognull
  option log-separate-errors
  timeout http-request 10s
  timeout http-keep-alive 20s
  timeout client 5m
  timeout client-fin 30s
{frontend.error(maps, 400, Code.BAD_REQUEST)}
{frontend.fault_error(maps)}

defaults table
  mode http

defaults slot
  mode http
  log global
  balance leastconn
  cookie {STICKY_COOKIE} insert indirect nocache httponly dynamic
  dynamic-cookie-key {cookie_key}
  retries 2
  option redispatch 1
  retry-on conn-failure empty-response
  http-request disable-l7-retry unless METH_GET
  http-request set-timeout server var(txn.timeout) if {{ var(txn.timeout) -m found }}
  http-reuse safe
  option abortonclose
  option http-no-delay
{headers.slot_rules()}
  timeout connect 2s
  timeout queue {config.queue_seconds}s
  timeout server 5m
  timeout tunnel 24h
{frontend.fault_error(maps)}
{frontend.error(maps, 502, Code.NO_ANSWER)}
{frontend.no_server_error(maps)}
{frontend.error(maps, 504, Code.TOO_SLOW)}"""


def _portal(config: NodeConfig, maps: Maps) -> str:
    return f"""\
backend {PORTAL_BACKEND} from slot
  ignore-persist if TRUE
  timeout server 1h
  server portal unix@{config.portal_socket} pool-max-conn 0
{frontend.error(maps, 502, Code.PORTAL_STARTING)}
{frontend.error(maps, 503, Code.PORTAL_STARTING)}"""
