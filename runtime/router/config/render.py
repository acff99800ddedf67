"""HAProxy's files as text: the fixed part, the slots, and the maps. Pure; `ledger` writes them.

A slot is a backend that an app owns for as long as it exists: HAProxy cannot make backends at run time, but fills and
empties them. What a request meets on its way to one is told in `frontend`.
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

PORTAL = "@portal"  # stands in records where an app's name would; no app can be called so
PORTAL_BACKEND = "portal"
CONNECTIONS_AN_INSTANCE = 500  # open at once; more wait their turn in the router
LUA = Path(__file__).with_name("wake.lua")
STICKY_COOKIE = "slipway-instance"
# TLS 1.2: forward secrecy and authenticated encryption only. TLS 1.3 has nothing else.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_RING = 16 * 2**20  # bytes of access log for a collector that is away: about 80,000 lines
LONGEST_LINE = 2_048  # bytes of the access log; what is longer is cut, which can only be the path
# The access log's fields, a space between, the path last and without its query: queries carry tokens, and logs are read by many.
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
    """Whom the router's workers become after they have opened what only root may."""

    user: str
    group: str


def slot_config(slot: int, endpoints: tuple[Endpoint, ...] = (), link: Link = Link.FRESH) -> str:
    """One slot: complete, so that a restart needs nothing else."""
    lines = [f"backend {slot_name(slot)} from slot", "  ignore-persist unless { var(txn.flags) -m sub k }"]
    lines += [f"  server {server_name(end, link)} {server_options(end, link)}{' disabled' if end.draining else ''}" for end in endpoints]
    return "\n".join(lines) + "\n"


def server_name(endpoint: Endpoint, link: Link) -> str:
    """A server's name. It tells the link, which a server keeps for life: to change it is to make another server."""
    return f"{endpoint.instance}:{link}" if link else endpoint.instance


def instance_of(server: str) -> str:
    """The reverse of `server_name`."""
    return server.partition(":")[0]


def server_options(endpoint: Endpoint, link: Link = Link.FRESH) -> str:
    """What follows a server's name, the same in the file and in `add server`.

    Without a pool a connection is used for one request, so no request meets one that the app is just closing, and a
    server can be deleted as soon as it is drained. With one, half of what is idle beyond need is let go of every few seconds.
    """
    options = {Link.FRESH: "pool-max-conn 0", Link.KEPT: "pool-max-conn 64 pool-purge-delay 5s", Link.HTTP2: "pool-max-conn 0 proto h2"}
    return f"{endpoint.address}:{endpoint.port} weight {endpoint.weight} maxconn {CONNECTIONS_AN_INSTANCE} {options[link]}"


def portal_hosts(config: NodeConfig) -> tuple[str, ...]:
    """The hosts that lead to the portal."""
    return (config.portal_host, "localhost", "127.0.0.1")


def portal_entries(config: NodeConfig, maps: Maps) -> dict[Path, dict[str, str]]:
    """The portal's own entries, by map; its hosts cannot be taken by an app."""
    flags = frontend.PORTAL_FLAG if config.portal_has_certificate else "-"
    record = "|".join([PORTAL, PORTAL_BACKEND, SITUATIONS[AppSituation.SERVING], flags])
    return {maps.hosts: dict.fromkeys(portal_hosts(config), record)}


def map_text(entries: Mapping[str, str]) -> str:
    """A map file: a key and its value a line, sorted."""
    return "".join(f"{key} {value}\n" for key, value in sorted(entries.items()))


def map_entries(text: str) -> dict[str, str]:
    """The reverse of `map_text`."""
    return dict(line.split(" ", 1) for line in text.splitlines() if " " in line)


def fixed_config(config: NodeConfig, maps: Maps, identity: Identity | None, *, cookie_key: str, threads: int) -> str:
    """Everything but the slots."""
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
    # A request is sent again only if nothing of it can have been acted on: connection refused, or a GET without an answer.
    # Frontends need a section of their own: HAProxy lets no section with rules serve both kinds.
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
  timeout server 1h
  server portal unix@{config.portal_socket} pool-max-conn 0
{frontend.error(maps, 502, Code.PORTAL_STARTING)}
{frontend.error(maps, 503, Code.PORTAL_STARTING)}"""
