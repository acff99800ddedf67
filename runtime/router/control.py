"""The router of a node: which host leads to which instances, changed while it runs and without a reload.

Any root process may call it: a lock, not a process, makes the single writer. Files first, then the same change by the
Runtime API, so that HAProxy may be killed at any moment and starts again with the truth. It refuses to judge health:
who is in the table gets traffic.
"""

from __future__ import annotations

import grp
import ipaddress
import os
import pwd
import re
import time
from contextlib import suppress

from runtime import journal
from runtime.config import NodeConfig
from runtime.errors import RouterRefused
from runtime.router import render
from runtime.router.delta import live_servers, slot_delta
from runtime.router.ledger import Ledger, Placed
from runtime.router.render import Identity, slot_name
from runtime.router.runtime_api import RouterDown, RuntimeApi
from runtime.router.table import AppRoutes, Endpoint

_APP = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_INSTANCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
_DELETE_TRIES = 5  # a cut connection leaves its server a moment later
_DELETE_PAUSE = 0.002


class Router:
    """HAProxy under one node's name: `prepare` once, keep `command` running, `set` and `remove` apps at any time."""

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self._ledger = Ledger(config)
        self._lock = config.locks / "router"
        self._master = config.run / "router-master.sock"
        self._api = RuntimeApi(config.router_socket, self._master)

    def prepare(self) -> None:
        """Write all of HAProxy's files from the journalled routes; a running HAProxy is left alone unless they changed under it."""
        self._config.run.mkdir(parents=True, exist_ok=True)
        with journal.lock(self._lock):
            before = self._fixed()
            self._ledger.prepare(_identity(self._config.user))
            self._ledger.repair()
            if before is not None and before != self._fixed():
                self._reload()

    def command(self) -> list[str]:
        """What the process manager keeps running in the foreground, as root: the master, whose workers drop their rights.

        SIGTERM ends it at once, SIGUSR1 after its connections have. A killed worker takes the master with it: start it again.
        """
        return [
            "haproxy",
            "-W",
            "-db",
            "-q",
            "-S",
            f"{self._master},mode,600",
            "-f",
            str(self._ledger.fixed),
            "-f",
            str(self._ledger.slots),
        ]

    def set(self, routes: AppRoutes) -> None:
        """Make an app's routes these; in effect on return. RouterRefused: a name is unusable, a host is another app's, or
        HAProxy did not take it. With HAProxy down the files alone are written, and its start picks them up.
        """
        _check(routes)
        with journal.lock(self._lock):
            self._check_hosts(routes)
            now, before, grew = self._ledger.place(routes)
            dropped = set(before.routes.hosts) - set(routes.hosts) if before else set()
            try:
                if grew:
                    self._api.reload()
                else:
                    self._apply(now, dropped_hosts=sorted(dropped))
            except RouterDown:
                return  # its next start reads the files
            finally:
                self._ledger.make_durable(routes.app)

    def remove(self, app: str) -> None:
        """Forget an app and cut what it still has open. Removing an unknown one succeeds."""
        if not _APP.fullmatch(app):
            return
        with journal.lock(self._lock):
            gone = self._ledger.forget(app)
            if gone is None:
                return
            try:
                maps = self._ledger.maps
                self._api.tell([*(f"del map {maps.hosts} {host}" for host in gone.routes.hosts), f"del map {maps.apps} {app}"])
                self._apply_servers(gone.slot, ())
            except RouterDown:
                return
            finally:
                self._ledger.make_durable(app)

    def routes(self) -> dict[str, AppRoutes]:
        """What is wanted of the router, by app; from its files."""
        return {app: placed.routes for app, placed in self._ledger.all().items()}

    def connections(self, app: str, instance: str) -> int:
        """Requests and tunnels an instance has open, also in workers that outlive a reload; 0 when HAProxy is down."""
        placed = self._ledger.placed(app)
        if placed is None:
            return 0
        question = f"show servers conn {slot_name(placed.slot)}"
        answers = []
        with suppress(RouterDown):
            answers.append(self._api.ask(question))
        with suppress(RouterDown):
            answers += [self._api.ask_worker(pid, question) for pid in self._api.workers()[1:]]
        name = f"{slot_name(placed.slot)}/{instance}"
        rows = [line.split() for answer in answers for line in answer.splitlines()]
        return sum(int(fields[6]) for fields in rows if fields[:1] == [name])

    def reconcile(self) -> list[str]:
        """Compare files and HAProxy with the journalled routes, repair, and say in words what differed."""
        with journal.lock(self._lock):
            found = self._ledger.repair()
            try:
                return found + self._reconcile_live()
            except RouterDown:
                return found

    def _reconcile_live(self) -> list[str]:
        truth, maps, found = self._ledger.all(), self._ledger.maps, []
        backends = set(self._api.ask("show backend").split())
        if any(slot_name(slot) not in backends for slot in range(self._ledger.pool())):
            self._reload()
            found.append("The router had fewer slots than there are files; it was reloaded.")
        for name, path, entries in (
            ("hosts", maps.hosts, self._ledger.host_entries(truth)),
            ("apps", maps.apps, self._ledger.app_entries(truth)),
        ):
            live = self._api.map(path)
            commands = [f"del map {path} {key}" for key in live if key not in entries]
            commands += [f"set map {path} {key} {value}" for key, value in entries.items() if live.get(key, value) != value]
            commands += [f"add map {path} {key} {value}" for key, value in entries.items() if key not in live]
            if commands:
                self._api.tell(commands)
                found.append(f"The router's map of {name} differed in {len(commands)} entries.")
        servers = live_servers(self._api.ask("show servers state"))
        endpoints = {placed.slot: placed.routes.endpoints for placed in truth.values()}
        for slot in range(self._ledger.pool()):
            delta = slot_delta(slot, endpoints.get(slot, ()), servers.get(slot_name(slot), ()))
            if delta:
                found.append(f"Slot {slot} differed: {'; '.join(delta.open + delta.close)}.")
            if delta or delta.delete:
                self._apply_servers(slot, endpoints.get(slot, ()))
        return found

    def _apply(self, now: Placed, *, dropped_hosts: list[str]) -> None:
        """New servers first, then the app's record and hosts, then the old servers: never a moment without an answer."""
        maps, app = self._ledger.maps, now.routes.app
        wanted = {(maps.apps, app): render.app_record(now.slot, now.routes.situation)}
        wanted |= {(maps.hosts, host): app for host in now.routes.hosts}
        state, values = self._api.ask_with_lookups(f"show servers state {slot_name(now.slot)}", wanted)
        entries = [
            f"{'add' if value is None else 'set'} map {path} {key} {wanted[path, key]}"
            for (path, key), value in zip(wanted, values, strict=True)
            if value != wanted[path, key]
        ]
        entries += [f"del map {maps.hosts} {host}" for host in dropped_hosts]
        delta = slot_delta(now.slot, now.routes.endpoints, live_servers(state).get(slot_name(now.slot), ()))
        if commands := [*delta.open, *entries, *delta.close]:
            said = self._api.tell(commands)
            state, values = self._api.ask_with_lookups(f"show servers state {slot_name(now.slot)}", wanted)
            delta = slot_delta(now.slot, now.routes.endpoints, live_servers(state).get(slot_name(now.slot), ()))
            if delta or values != list(wanted.values()):
                raise RouterRefused(f"The router did not take the routes of {app}. It said: {said}", hint="It is tried again by itself.")
        self._delete(delta.delete)

    def _apply_servers(self, slot: int, endpoints: tuple[Endpoint, ...]) -> None:
        question = f"show servers state {slot_name(slot)}"
        delta = slot_delta(slot, endpoints, live_servers(self._api.ask(question)).get(slot_name(slot), ()))
        self._api.tell([*delta.open, *delta.close])
        self._delete(delta.delete)

    def _delete(self, commands: tuple[str, ...]) -> None:
        """Delete closed servers; one whose connections do not let go yet stays closed until the next look at its slot."""
        for _ in range(_DELETE_TRIES):
            commands = tuple(command for command in commands if "still has" in self._api.ask(command))
            if not commands:
                return
            time.sleep(_DELETE_PAUSE)

    def _reload(self) -> None:
        try:
            self._api.reload()
        except RouterDown:
            return  # its next start reads the files

    def _check_hosts(self, routes: AppRoutes) -> None:
        for host in routes.hosts:
            owner = self._ledger.owner(host)
            if owner in (None, routes.app):
                continue
            other = self._ledger.placed(owner) if owner != render.PORTAL else None
            if owner == render.PORTAL or (other is not None and host in other.routes.hosts):
                of = "the portal" if owner == render.PORTAL else owner
                raise RouterRefused(f"The host {host} of {routes.app} already leads to {of}.", hint="Give the app another host.")

    def _fixed(self) -> bytes | None:
        return self._ledger.fixed.read_bytes() if self._ledger.fixed.exists() else None


def _check(routes: AppRoutes) -> None:
    """Names go into files and commands as they are, so nothing but names may pass."""
    wrong = [text for text in (routes.app,) if not _APP.fullmatch(text)]
    wrong += [host for host in routes.hosts if not _HOST.fullmatch(host)]
    for end in routes.endpoints:
        wrong += [end.instance] if not _INSTANCE.fullmatch(end.instance) else []
        wrong += [] if 0 < end.port < 65536 else [str(end.port)]
        try:
            ipaddress.IPv4Address(end.address)
        except ValueError:
            wrong.append(end.address)
    if wrong:
        raise RouterRefused(f"The routes of {routes.app!r} hold {wrong[0]!r}, which is no usable name, address or port.")
    if len({end.instance for end in routes.endpoints}) != len(routes.endpoints):
        raise RouterRefused(f"The routes of {routes.app} name one instance twice.")


def _identity(user: str) -> Identity | None:
    """Whom HAProxy becomes: the configured user, else `nobody`; no one else if we are not root to begin with."""
    if os.geteuid() != 0:
        return None
    for name in (user, "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Identity(user=name, group=grp.getgrgid(entry.pw_gid).gr_name)
    return None
