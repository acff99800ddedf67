"""HAProxy's files as text: the fixed part, one small file a slot, and the maps. Pure; `ledger` writes them.

A slot is a backend that an app owns for as long as it exists: HAProxy cannot make backends at run time, but fills and
empties them. What a request meets, in order: its host is looked up in `host.map` (host to app), the app in `app.map`
(app to `slot|situation`), then it goes to the slot or gets the situation's page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runtime.config import NodeConfig
from runtime.router import pages
from runtime.router.pages import Page
from runtime.router.table import AppRoutes, AppSituation, Endpoint

PORTAL = "@portal"  # stands in the maps where an app's name would; no app can be called so
PORTAL_BACKEND = "portal"
CONNECTIONS_AN_INSTANCE = 500  # open at once; more wait their turn in the router
_FLAGS = {
    AppSituation.SERVING: "S",
    AppSituation.NO_INSTANCE: "N",
    AppSituation.CRASHED: "C",
    AppSituation.ASLEEP: "Z",
    AppSituation.NOT_DEPLOYED: "D",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Maps:
    """Where HAProxy finds its maps; the path is also a map's name in the Runtime API."""

    folder: Path

    @property
    def hosts(self) -> Path:
        """Host to app."""
        return self.folder / "host.map"

    @property
    def apps(self) -> Path:
        """App to `slot|situation`."""
        return self.folder / "app.map"

    @property
    def pages(self) -> Path:
        """Page and form to body."""
        return self.folder / "pages.map"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whom the router's workers become after they have opened what only root may."""

    user: str
    group: str


def slot_name(slot: int) -> str:
    """The backend's name."""
    return f"b{slot:05d}"


def slot_config(slot: int, endpoints: tuple[Endpoint, ...] = ()) -> str:
    """One slot's file: complete, so that a restart needs nothing else."""
    lines = [f"backend {slot_name(slot)} from slot"]
    lines += [f"  server {end.instance} {server_options(end)}{' disabled' if end.draining else ''}" for end in endpoints]
    return "\n".join(lines) + "\n"


def server_options(endpoint: Endpoint) -> str:
    """What follows a server's name, the same in the file and in `add server`.

    Without a pool: a connection is used for one request, so no request meets one that the app is just closing, and a
    server can be deleted as soon as it is drained.
    """
    return f"{endpoint.address}:{endpoint.port} maxconn {CONNECTIONS_AN_INSTANCE} pool-max-conn 0"


def app_record(slot: int, situation: AppSituation) -> str:
    """An app's value in `app.map`: its whole policy, changed by one command."""
    return f"{slot_name(slot)}|{_FLAGS[situation]}"


def host_entries(config: NodeConfig, tables: Mapping[str, AppRoutes]) -> dict[str, str]:
    """`host.map` for all apps; the portal's own hosts cannot be taken by one."""
    entries = {host: app for app, routes in sorted(tables.items()) for host in routes.hosts}
    return entries | dict.fromkeys(portal_hosts(config), PORTAL)


def portal_hosts(config: NodeConfig) -> tuple[str, ...]:
    """The hosts that lead to the portal."""
    return (config.portal_host, "localhost", "127.0.0.1")


def portal_record() -> str:
    """The portal's value in `app.map`."""
    return f"{PORTAL_BACKEND}|{_FLAGS[AppSituation.SERVING]}"


def map_text(entries: Mapping[str, str]) -> str:
    """A map file: a key and its value a line, sorted."""
    return "".join(f"{key} {value}\n" for key, value in sorted(entries.items()))


def map_entries(text: str) -> dict[str, str]:
    """The reverse of `map_text`."""
    return dict(line.split(" ", 1) for line in text.splitlines() if " " in line)


def fixed_config(config: NodeConfig, maps: Maps, identity: Identity | None) -> str:
    """Everything but the slots."""
    return "\n\n".join([_global(config, identity), _defaults(maps), _frontend(config, maps), _portal(config, maps)]) + "\n"


def _global(config: NodeConfig, identity: Identity | None) -> str:
    drop = f"\n  user {identity.user}\n  group {identity.group}" if identity else ""
    return f"""\
# Written by Slipway; changes here are overwritten.
global
  log stdout format raw daemon err
  stats socket {config.router_socket} mode 600 level admin
  stats maxconn 50
  maxconn 8000
  no strict-limits
  hard-stop-after 1h{drop}"""


def _defaults(maps: Maps) -> str:
    # A request is sent again only if nothing of it can have been acted on: connection refused, or a GET without an answer.
    # Frontends need a section of their own: HAProxy lets no section with rules serve both kinds.
    return f"""\
defaults front
  mode http
  log global
  option httplog
  option dontlog-normal
  option dontlognull
  option log-separate-errors
  timeout http-request 10s
  timeout http-keep-alive 20s
  timeout client 5m
  timeout client-fin 30s

defaults slot
  mode http
  log global
  balance leastconn
  retries 2
  option redispatch 1
  retry-on conn-failure empty-response
  http-request disable-l7-retry unless METH_GET
  http-reuse safe
  option http-no-delay
  http-response del-header X-Slipway-Page
  timeout connect 2s
  timeout queue 30s
  timeout server 5m
  timeout tunnel 24h
{_error(maps, pages.BROKEN_ANSWER, 502)}
{_error(maps, pages.UNREACHABLE, 503)}
{_error(maps, pages.SLOW, 504)}"""


def _frontend(config: NodeConfig, maps: Maps) -> str:
    situations = "\n".join(
        _return(maps, page, f"{{ var(txn.flags) -m str {_FLAGS[situation]} }}") for situation, page in pages.SITUATIONS.items()
    )
    # Names with other characters go first: application servers read X_Forwarded_For as X-Forwarded-For.
    return f"""\
frontend web from front
  bind {config.http_bind}:{config.http_port}
  option http-no-delay
  option http-restrict-req-hdr-names delete
  option idle-close-on-response
  unique-id-format %[uuid]
  unique-id-header X-Request-Id
  http-request del-header X-Forwarded- -m beg
  http-request del-header Forwarded
  http-request del-header X-Real-IP
  http-request del-header X-Request-Id
  http-request del-header Proxy
  http-request set-header X-Forwarded-For %[src]
  http-request set-header X-Forwarded-Proto {config.scheme}
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-var(txn.as) str(html)
  http-request set-var(txn.as) str(json) if {{ req.hdr(accept) -m sub application/json }} !{{ req.hdr(accept) -m sub text/html }}
  http-request set-var(txn.host) req.hdr(host),field(1,:),lower,rtrim(.)
  http-request set-var(txn.app) var(txn.host),map_str({maps.hosts})
  http-request set-var(txn.record) var(txn.app),map_str({maps.apps})
  http-request set-var(txn.slot) var(txn.record),field(1,|)
  http-request set-var(txn.flags) var(txn.record),field(2,|)
{_return(maps, pages.UNKNOWN, "!{ var(txn.slot) -m found }")}
{situations}
  http-after-response set-header X-Request-Id %[unique-id]
  http-after-response set-header Content-Type application/json if {{ res.hdr(X-Slipway-Page) -m found }} {{ var(txn.as) -m str json }}
  http-after-response del-header X-Slipway-Page
  use_backend %[var(txn.slot)]"""


def _portal(config: NodeConfig, maps: Maps) -> str:
    return f"""\
backend {PORTAL_BACKEND} from slot
  timeout server 1h
  server portal unix@{config.portal_socket} pool-max-conn 0
{_error(maps, pages.PORTAL_DOWN, 502)}
{_error(maps, pages.PORTAL_DOWN, 503)}"""


def _return(maps: Maps, page: Page, condition: str) -> str:
    return f"  http-request return status {page.status} {_body(maps, page)} if {condition}"


def _error(maps: Maps, page: Page, status: int) -> str:
    return f"  http-error status {status} {_body(maps, page)}"


def _body(maps: Maps, page: Page) -> str:
    # %ID is empty inside a `return`; unique-id is not.
    head = f"%[str({page.name}-),concat(,txn.as),map_str({maps.pages})]"
    tail = f"%[str(tail-),concat(,txn.as),map_str({maps.pages})]"
    retry = f" hdr Retry-After {page.refresh}" if page.refresh else ""
    return f'content-type "text/html; charset=utf-8" lf-string "{head}%[unique-id]{tail}" hdr Cache-Control no-store hdr X-Slipway-Page 1{retry}'
