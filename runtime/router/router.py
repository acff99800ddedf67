"""The router of a node. It maps hosts to instances; changes need no reload of HAProxy.

Any process of root may call it; a lock ensures a single writer. A change writes the routes, then
sends commands to HAProxy's Runtime API, then renders HAProxy's files. If a process is killed in
between, the next reconciliation repairs the rest. The router does not judge health: each endpoint
in the routes gets traffic.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from runtime import journal
from runtime.config import NodeConfig
from runtime.errors import RouterRefused
from runtime.router import haproxy
from runtime.router.config import render
from runtime.router.config.render import instance_of
from runtime.router.haproxy_program import accept_files, worker_identity
from runtime.router.map_entries import slot_name
from runtime.router.placed_diff import (
    Entries,
    entry_edits,
    entry_removals,
    expected_servers,
    loses_last_server,
    servers_delta,
)
from runtime.router.route_store import RouteStore, StoredRoutes
from runtime.router.routes import AppRoutes
from runtime.router.runtime_api import RouterDown, RuntimeApi, in_flight, refused
from runtime.router.server_diff import SlotDelta, live_servers
from runtime.router.tls.certificate_store import Certificates
from runtime.router.validate import check, is_app

_BASE64URL = re.compile(r"[A-Za-z0-9_.-]{1,512}")
_DELETE_TRIES = 5  # HAProxy removes a closed connection from its server a moment later
_DELETE_PAUSE = 0.002
# seconds; a request needs much less from the lookup of its app's record to a server
_REQUEST_SETUP_SECONDS = 0.02


class Router:
    """HAProxy on one node: call `prepare` once, keep `command` running, and call `set` and `remove`
    at any time.
    """

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self._store = RouteStore(config)
        self._lock = config.locks / "router"
        self._api = RuntimeApi(config.router_socket, haproxy.master_socket(config))

    def prepare(self) -> None:
        """Write all of HAProxy's files from the stored routes.

        A running HAProxy reloads only if its fixed configuration changed.
        """
        self._config.run.mkdir(parents=True, exist_ok=True)
        with journal.lock(self._lock):
            if self._config.https_port:
                Certificates(self._config).prepare()
            running = self._store.fixed.exists()
            changed = self._store.prepare(
                worker_identity(self._config.user), accept=partial(accept_files, self._config)
            )
            self._store.repair(self._store.all())
            if changed and running:
                self._reload()

    def reload(self) -> None:
        """Start a new worker of the installed HAProxy program, for example after an upgrade.

        The port stays open, and requests in progress finish in the old worker. Raise RouterRefused
        if HAProxy cannot start from its files; then the old worker continues.
        """
        with journal.lock(self._lock):
            accept_files(self._config, [self._store.fixed, self._store.slots])
            self._reload()

    def workers(self) -> list[int]:
        """Return the process ids of HAProxy's workers, the current one first; empty if HAProxy is
        down.
        """
        with suppress(RouterDown):
            return self._api.workers()
        return []

    def command(self) -> list[str]:
        """Return the command that the process manager keeps running; see
        `runtime.router.haproxy`.
        """
        return haproxy.command(self._config)

    def set(self, routes: AppRoutes, *, durable: bool = True) -> None:
        """Set an app's routes. The change is in effect on return.

        Raise RouterRefused if a name is invalid, a host belongs to another app, or HAProxy rejects
        the change. If HAProxy is down, only the files are written, and HAProxy reads them at its
        start.

        `durable=False` leaves the sync to the disk to a later `make_durable`. Use it for changes
        that a request waits for.
        """
        check(routes)
        try:
            with journal.lock(self._lock), suppress(RouterDown):
                self._check_hosts(routes)
                now, before, grew = self._store.place(routes)
                if grew:
                    self._store.render(now, before)
                    self._api.reload()
                    return
                try:
                    self._apply(now, before)
                finally:  # also if HAProxy is down: its next start reads the files
                    self._store.render(now, before)
        finally:
            if durable:
                self.make_durable(routes.app)

    def make_durable(self, app: str) -> None:
        """Sync an app's routes to the disk.

        This needs no lock, so it delays no other app's change.
        """
        if is_app(app):
            self._store.make_durable(app)

    def remove(self, app: str) -> None:
        """Remove an app and close its connections. Removing an unknown app succeeds."""
        if not is_app(app):
            return
        try:
            with journal.lock(self._lock), suppress(RouterDown):
                if (gone := self._store.forget(app)) is None:
                    return
                entries = self._store.entries(gone)
                self._api.send_commands(
                    [f"del map {path} {key}" for path in reversed(entries) for key in entries[path]]
                )
                for slot in gone.slots.values():
                    self._apply_servers(slot, None)
        finally:
            self._store.make_durable(app)

    def answer_challenge(self, token: str, answer: str) -> None:
        """Answer an ACME HTTP-01 challenge on every host, regardless of its app's policy or
        situation.
        """
        if not (_BASE64URL.fullmatch(token) and _BASE64URL.fullmatch(answer)):
            raise RouterRefused(
                f"The challenge {token!r} of the certificate authority is not a valid token."
            )
        self._edit_challenges({token: answer}, f"add map {self._store.maps.acme} {token} {answer}")

    def forget_challenge(self, token: str) -> None:
        """Stop answering a challenge. Succeed if the token is unknown."""
        self._edit_challenges({}, f"del map {self._store.maps.acme} {token}", drop=(token,))

    def _edit_challenges(
        self, put: dict[str, str], command: str, *, drop: tuple[str, ...] = ()
    ) -> None:
        with journal.lock(self._lock), suppress(RouterDown):
            known = self._store.challenges()
            if any(known.get(token) != answer for token, answer in put.items()) or any(
                token in known for token in drop
            ):
                self._store.edit_challenges(put, drop=drop)
                self._api.send_commands([command])

    def routes(self) -> dict[str, AppRoutes]:
        """Return the desired routes by app, from the files."""
        return {app: placed.routes for app, placed in self._store.all().items()}

    def route(self, app: str) -> AppRoutes | None:
        """Return the desired routes of an app, or None for an unknown app."""
        placed = self._store.placed(app) if is_app(app) else None
        return placed.routes if placed else None

    def connections(self, app: str, instance: str) -> int:
        """Return the number of open requests and tunnels of an instance; 0 if HAProxy is down.

        Workers that remain after a reload are included.
        """
        placed = self._store.placed(app)
        if placed is None:
            return 0
        question = "; ".join(
            f"show servers conn {slot_name(slot)}" for slot in placed.slots.values()
        )
        answers = []
        with suppress(RouterDown):
            answers.append(self._api.ask(question))
        with suppress(RouterDown):
            answers += [self._api.ask_worker(pid, question) for pid in self._api.workers()[1:]]
        rows = [line.split() for answer in answers for line in answer.splitlines()]
        servers = ((fields[0].partition("/")[2], fields) for fields in rows if len(fields) > 6)
        return sum(int(fields[6]) for server, fields in servers if instance_of(server) == instance)

    def in_flight(self) -> dict[str, int]:
        """Return the number of open requests and tunnels by app; empty if HAProxy is down.

        Only the current worker's are counted.
        """
        with suppress(RouterDown):
            return in_flight(self._api.ask("show table by_app"))
        return {}

    def refused(self) -> int:
        """Return the number of connections rejected because their address exceeded its share.

        Only the current worker's are counted; 0 if HAProxy is down.
        """
        with suppress(RouterDown):
            return refused(self._api.ask("show stat web 1 -1"))
        return 0

    def answers(self) -> bool:
        """Return whether HAProxy's current worker answers."""
        try:
            self._api.ask("show version")
        except RouterDown:
            return False
        return True

    def reconcile(self) -> list[str]:
        """Compare the files and HAProxy with the stored routes, repair them, and describe the
        differences.
        """
        with journal.lock(self._lock):
            stored = self._store.all()
            found = self._store.repair(stored)
            try:
                return found + self._reconcile_live(stored)
            except RouterDown:
                return found

    def _reconcile_live(self, stored: Mapping[str, StoredRoutes]) -> list[str]:
        found: list[str] = []
        backends = set(self._api.ask("show backend").split())
        if any(slot_name(slot) not in backends for slot in range(self._store.pool())):
            self._reload()
            found.append("HAProxy had fewer slots than its files; it was reloaded.")
        for path, entries in self._store.map_entries(stored).items():
            live = self._api.map(path)
            commands = [f"del map {path} {key}" for key in live if key not in entries]
            commands += [
                f"set map {path} {key} {value}"
                for key, value in entries.items()
                if live.get(key, value) != value
            ]
            commands += [
                f"add map {path} {key} {value}" for key, value in entries.items() if key not in live
            ]
            if commands:
                self._api.send_commands(commands)
                found.append(f"The router's map {path.stem} differed in {len(commands)} entries.")
        servers = live_servers(self._api.ask("show servers state"))
        owners = {slot: placed for placed in stored.values() for slot in placed.slots.values()}
        for slot in range(self._store.pool()):
            delta = servers_delta(slot, owners.get(slot), servers.get(slot_name(slot), ()))
            if delta:
                found.append(f"Slot {slot} differed: {'; '.join(delta.open + delta.close)}.")
            if delta or delta.delete:
                self._apply_servers(slot, owners.get(slot))
        return found

    def _apply(self, now: StoredRoutes, before: StoredRoutes | None) -> None:
        """Send an app's routes to HAProxy.

        If possible, first send the difference from `before` without a query, so that the change
        takes effect at once. Then read HAProxy's state, and send the remaining differences.
        """
        entries, old = self._store.entries(now), self._store.entries(before) if before else {}
        seen = {
            path: wanted
            for path, wanted in entries.items()
            if not self._store.maps.looks_up_beginnings(path)
        }
        unseen, gone = (
            entry_edits(
                {path: wanted for path, wanted in entries.items() if path not in seen}, old
            ),
            entry_removals(entries, old),
        )
        # `add map` for an existing key creates a duplicate: no key is added without a query.
        if before and all(old[path].keys() >= wanted.keys() for path, wanted in entries.items()):
            expected = [
                servers_delta(slot, now, expected_servers(before, slot))
                for slot in now.slots.values()
            ]
            self._send(now, expected, [*unseen, *entry_edits(seen, old), *gone])
            unseen, gone = [], []
        deltas, there = self._look(now, seen)
        edits = [*unseen, *entry_edits(seen, there), *gone]
        if edits or any(deltas):
            said = self._send(now, deltas, edits)
            deltas, there = self._look(now, seen)
            if any(deltas) or entry_edits(seen, there):
                raise RouterRefused(
                    f"HAProxy did not accept the routes of {now.routes.app}. Its answer: {said}",
                    hint="Slipway retries this automatically.",
                )
        for delta in deltas:
            self._delete(delta.delete)

    def _send(self, now: StoredRoutes, deltas: list[SlotDelta], edits: list[str]) -> str:
        """Send commands to HAProxy, and return its output.

        The order is: new servers, entries that the app's record refers to, the record, old servers.
        So the app always has a server, and no request meets an incomplete policy.
        """
        opening = [command for delta in deltas for command in delta.open]
        closing = [command for delta in deltas for command in delta.close]
        if not loses_last_server(now, deltas):
            return self._api.send_commands([*opening, *edits, *closing])
        said = self._api.send_commands([*opening, *edits])
        time.sleep(_REQUEST_SETUP_SECONDS)
        return said + self._api.send_commands(closing)

    def _look(self, placed: StoredRoutes, entries: Entries) -> tuple[list[SlotDelta], Entries]:
        """Return the difference in each of an app's slots, and HAProxy's values of the given map
        entries.
        """
        question = "; ".join(
            f"show servers state {slot_name(slot)}" for slot in placed.slots.values()
        )
        lookups = [(path, key) for path, wanted in entries.items() for key in wanted]
        state, values = self._api.ask_with_lookups(question, lookups)
        servers, there = live_servers(state), dict[Path, dict[str, str]]()
        for (path, key), value in zip(lookups, values, strict=True):
            if value is not None:
                there.setdefault(path, {})[key] = value
        return [
            servers_delta(slot, placed, servers.get(slot_name(slot), ()))
            for slot in placed.slots.values()
        ], there

    def _apply_servers(self, slot: int, owner: StoredRoutes | None) -> None:
        question = f"show servers state {slot_name(slot)}"
        delta = servers_delta(
            slot, owner, live_servers(self._api.ask(question)).get(slot_name(slot), ())
        )
        self._api.send_commands([*delta.open, *delta.close])
        self._delete(delta.delete)

    def _delete(self, commands: tuple[str, ...]) -> None:
        """Delete closed servers.

        A server that still has connections stays closed. The next reconciliation of its slot
        deletes it.
        """
        for _ in range(_DELETE_TRIES):
            commands = tuple(
                command for command in commands if "still has" in self._api.ask(command)
            )
            if not commands:
                return
            time.sleep(_DELETE_PAUSE)

    def _reload(self) -> None:
        try:
            self._api.reload()
        except RouterDown:
            return  # its next start reads the files

    def _check_hosts(self, routes: AppRoutes) -> None:
        before = self._store.placed(routes.app)
        for host in set(routes.hosts) - set(before.routes.hosts if before else ()):
            owner = self._store.owner(host)
            if owner in (None, routes.app):
                continue
            other = self._store.placed(owner) if owner != render.PORTAL else None
            if owner == render.PORTAL or (other is not None and host in other.routes.hosts):
                of = "the portal" if owner == render.PORTAL else owner
                raise RouterRefused(
                    f"The host {host} of {routes.app} already leads to {of}.",
                    hint="Give the app another host.",
                )
