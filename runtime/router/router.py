"""The router of a node: which host leads to which instances, changed while it runs and without a reload.

Any root process may call it: a lock, not a process, makes the single writer. The truth is written first, then HAProxy is told by its
Runtime API, then its files are rendered: whoever is killed at whichever moment, the next look at the truth repairs the rest. It
refuses to judge health: who is in the table gets traffic.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from runtime import journal, process
from runtime.config import NodeConfig
from runtime.errors import RouterRefused
from runtime.router import haproxy
from runtime.router.config import render
from runtime.router.config.render import Identity, instance_of, server_name
from runtime.router.map_entries import slot_name
from runtime.router.route_store import Ledger, Placed
from runtime.router.routes import AppRoutes
from runtime.router.runtime_api import RouterDown, RuntimeApi, in_flight, refused
from runtime.router.server_diff import LiveServer, SlotDelta, live_servers, slot_delta
from runtime.router.tls.certificate_store import Certificates
from runtime.router.validate import check, is_app

_BASE64URL = re.compile(r"[A-Za-z0-9_.-]{1,512}")
_CHECK_WAIT = 60  # seconds; tens of thousands of slots take about two
_DELETE_TRIES = 5  # a cut connection leaves its server a moment later
_DELETE_PAUSE = 0.002
Entries = Mapping[Path, Mapping[str, str]]  # of maps
_UNDER_WAY = 0.02  # seconds, many times what it takes a request to get from the look at its app's record to a server


class Router:
    """HAProxy under one node's name: `prepare` once, keep `command` running, `set` and `remove` apps at any time."""

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self._ledger = Ledger(config)
        self._lock = config.locks / "router"
        self._api = RuntimeApi(config.router_socket, haproxy.master_socket(config))

    def prepare(self) -> None:
        """Write all of HAProxy's files from the journalled routes; a running HAProxy is left alone unless they changed under it."""
        self._config.run.mkdir(parents=True, exist_ok=True)
        with journal.lock(self._lock):
            if self._config.https_port:
                Certificates(self._config).prepare()
            running = self._ledger.fixed.exists()
            changed = self._ledger.prepare(_identity(self._config.user), accept=partial(_accept, self._config))
            self._ledger.repair(self._ledger.all())
            if changed and running:
                self._reload()

    def reload(self) -> None:
        """Have a fresh worker of the program as it is installed now: how it is upgraded. The port stays open, and what is under
        way ends in the old worker. RouterRefused: it does not start from its files; the old one goes on.
        """
        with journal.lock(self._lock):
            _accept(self._config, [self._ledger.fixed, self._ledger.slots])
            self._reload()

    def workers(self) -> list[int]:
        """Process ids of HAProxy's workers, the one that takes new connections first; empty when it is down."""
        with suppress(RouterDown):
            return self._api.workers()
        return []

    def command(self) -> list[str]:
        """What the process manager keeps running; see `runtime.router.haproxy`."""
        return haproxy.command(self._config)

    def set(self, routes: AppRoutes, *, durable: bool = True) -> None:
        """Make an app's routes these; in effect on return. RouterRefused: a name is unusable, a host is another app's, or
        HAProxy did not take it. With HAProxy down the files alone are written, and its start picks them up.

        `durable=False` leaves the wait for the disk to a later `make_durable`: for changes that a request waits for.
        """
        check(routes)
        try:
            with journal.lock(self._lock), suppress(RouterDown):
                self._check_hosts(routes)
                now, before, grew = self._ledger.place(routes)
                if grew:
                    self._ledger.render(now, before)
                    self._api.reload()
                    return
                try:
                    self._apply(now, before)
                finally:  # also for a HAProxy that is down: its next start reads the files
                    self._ledger.render(now, before)
        finally:
            if durable:
                self.make_durable(routes.app)

    def make_durable(self, app: str) -> None:
        """See an app's routes through to the disk; without the lock, as no other app's change should wait for that."""
        if is_app(app):
            self._ledger.make_durable(app)

    def remove(self, app: str) -> None:
        """Forget an app and cut what it still has open. Removing an unknown one succeeds."""
        if not is_app(app):
            return
        try:
            with journal.lock(self._lock), suppress(RouterDown):
                if (gone := self._ledger.forget(app)) is None:
                    return
                entries = self._ledger.entries(gone)
                self._api.tell([f"del map {path} {key}" for path in reversed(entries) for key in entries[path]])
                for slot in gone.slots.values():
                    self._apply_servers(slot, None)
        finally:
            self._ledger.make_durable(app)

    def answer_challenge(self, token: str, answer: str) -> None:
        """Answer an ACME HTTP-01 challenge, on every host and whatever its app's policy or situation."""
        if not (_BASE64URL.fullmatch(token) and _BASE64URL.fullmatch(answer)):
            raise RouterRefused(f"The challenge {token!r} of the certificate authority is no token.")
        self._edit_challenges({token: answer}, f"add map {self._ledger.maps.acme} {token} {answer}")

    def forget_challenge(self, token: str) -> None:
        """Leave such requests to the apps again. Forgetting an unknown one succeeds."""
        self._edit_challenges({}, f"del map {self._ledger.maps.acme} {token}", drop=(token,))

    def _edit_challenges(self, put: dict[str, str], command: str, *, drop: tuple[str, ...] = ()) -> None:
        with journal.lock(self._lock), suppress(RouterDown):
            known = self._ledger.challenges()
            if any(known.get(token) != answer for token, answer in put.items()) or any(token in known for token in drop):
                self._ledger.edit_challenges(put, drop=drop)
                self._api.tell([command])

    def routes(self) -> dict[str, AppRoutes]:
        """What is wanted of the router, by app; from its files."""
        return {app: placed.routes for app, placed in self._ledger.all().items()}

    def route(self, app: str) -> AppRoutes | None:
        """What is wanted for one app; None where the router knows nothing of it."""
        placed = self._ledger.placed(app) if is_app(app) else None
        return placed.routes if placed else None

    def connections(self, app: str, instance: str) -> int:
        """Requests and tunnels an instance has open, also in workers that outlive a reload; 0 when HAProxy is down."""
        placed = self._ledger.placed(app)
        if placed is None:
            return 0
        question = "; ".join(f"show servers conn {slot_name(slot)}" for slot in placed.slots.values())
        answers = []
        with suppress(RouterDown):
            answers.append(self._api.ask(question))
        with suppress(RouterDown):
            answers += [self._api.ask_worker(pid, question) for pid in self._api.workers()[1:]]
        rows = [line.split() for answer in answers for line in answer.splitlines()]
        servers = ((fields[0].partition("/")[2], fields) for fields in rows if len(fields) > 6)
        return sum(int(fields[6]) for server, fields in servers if instance_of(server) == instance)

    def in_flight(self) -> dict[str, int]:
        """Requests and tunnels open now, by app; of the present worker alone, and empty when HAProxy is down."""
        with suppress(RouterDown):
            return in_flight(self._api.ask("show table by_app"))
        return {}

    def refused(self) -> int:
        """Connections turned away because their address held its share; of the present worker alone, and 0 when HAProxy is down."""
        with suppress(RouterDown):
            return refused(self._api.ask("show stat web 1 -1"))
        return 0

    def reconcile(self) -> list[str]:
        """Compare files and HAProxy with the journalled routes, repair, and say in words what differed."""
        with journal.lock(self._lock):
            truth = self._ledger.all()
            found = self._ledger.repair(truth)
            try:
                return found + self._reconcile_live(truth)
            except RouterDown:
                return found

    def _reconcile_live(self, truth: Mapping[str, Placed]) -> list[str]:
        found: list[str] = []
        backends = set(self._api.ask("show backend").split())
        if any(slot_name(slot) not in backends for slot in range(self._ledger.pool())):
            self._reload()
            found.append("The router had fewer slots than there are files; it was reloaded.")
        for path, entries in self._ledger.map_entries(truth).items():
            live = self._api.map(path)
            commands = [f"del map {path} {key}" for key in live if key not in entries]
            commands += [f"set map {path} {key} {value}" for key, value in entries.items() if live.get(key, value) != value]
            commands += [f"add map {path} {key} {value}" for key, value in entries.items() if key not in live]
            if commands:
                self._api.tell(commands)
                found.append(f"The router's map {path.stem} differed in {len(commands)} entries.")
        servers = live_servers(self._api.ask("show servers state"))
        owners = {slot: placed for placed in truth.values() for slot in placed.slots.values()}
        for slot in range(self._ledger.pool()):
            delta = _delta(slot, owners.get(slot), servers.get(slot_name(slot), ()))
            if delta:
                found.append(f"Slot {slot} differed: {'; '.join(delta.open + delta.close)}.")
            if delta or delta.delete:
                self._apply_servers(slot, owners.get(slot))
        return found

    def _apply(self, now: Placed, before: Placed | None) -> None:
        """Have HAProxy take an app's routes. What has changed since `before` it is told at once, so that no change waits for a question
        whose answer is nearly always known; then it is looked at, and told what differs all the same.
        """
        entries, old = self._ledger.entries(now), self._ledger.entries(before) if before else {}
        seen = {path: wanted for path, wanted in entries.items() if not self._ledger.maps.looks_up_beginnings(path)}
        unseen, gone = _edits({path: wanted for path, wanted in entries.items() if path not in seen}, old), _drops(entries, old)
        # A key that is there all the same would be there twice after `add map`: none is added without a look.
        if before and all(old[path].keys() >= wanted.keys() for path, wanted in entries.items()):
            expected = [_delta(slot, now, _servers(before, slot)) for slot in now.slots.values()]
            self._tell(now, expected, [*unseen, *_edits(seen, old), *gone])
            unseen, gone = [], []
        deltas, there = self._look(now, seen)
        edits = [*unseen, *_edits(seen, there), *gone]
        if edits or any(deltas):
            said = self._tell(now, deltas, edits)
            deltas, there = self._look(now, seen)
            if any(deltas) or _edits(seen, there):
                raise RouterRefused(
                    f"The router did not take the routes of {now.routes.app}. It said: {said}", hint="It is tried again by itself."
                )
        for delta in deltas:
            self._delete(delta.delete)

    def _tell(self, now: Placed, deltas: list[SlotDelta], edits: list[str]) -> str:
        """New servers first, then what the app's record speaks of, the record, then the old servers: never a moment without an answer,
        nor one with half a policy. What HAProxy had to say to it.
        """
        opening = [command for delta in deltas for command in delta.open]
        closing = [command for delta in deltas for command in delta.close]
        if not _empties(now, deltas):
            return self._api.tell([*opening, *edits, *closing])
        said = self._api.tell([*opening, *edits])
        time.sleep(_UNDER_WAY)
        return said + self._api.tell(closing)

    def _look(self, placed: Placed, entries: Entries) -> tuple[list[SlotDelta], Entries]:
        """What differs in each of an app's slots, and which of some entries of maps HAProxy has, with its values."""
        question = "; ".join(f"show servers state {slot_name(slot)}" for slot in placed.slots.values())
        lookups = [(path, key) for path, wanted in entries.items() for key in wanted]
        state, values = self._api.ask_with_lookups(question, lookups)
        servers, there = live_servers(state), dict[Path, dict[str, str]]()
        for (path, key), value in zip(lookups, values, strict=True):
            if value is not None:
                there.setdefault(path, {})[key] = value
        return [_delta(slot, placed, servers.get(slot_name(slot), ())) for slot in placed.slots.values()], there

    def _apply_servers(self, slot: int, owner: Placed | None) -> None:
        question = f"show servers state {slot_name(slot)}"
        delta = _delta(slot, owner, live_servers(self._api.ask(question)).get(slot_name(slot), ()))
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
        before = self._ledger.placed(routes.app)
        for host in set(routes.hosts) - set(before.routes.hosts if before else ()):
            owner = self._ledger.owner(host)
            if owner in (None, routes.app):
                continue
            other = self._ledger.placed(owner) if owner != render.PORTAL else None
            if owner == render.PORTAL or (other is not None and host in other.routes.hosts):
                of = "the portal" if owner == render.PORTAL else owner
                raise RouterRefused(f"The host {host} of {routes.app} already leads to {of}.", hint="Give the app another host.")


def _accept(config: NodeConfig, files: list[Path]) -> None:
    """Have HAProxy look at its files without starting; RouterRefused quotes what it does not like."""
    checked = process.run(haproxy.check_command(config, files), timeout=_CHECK_WAIT, check=False)
    if checked.returncode != 0:
        said = "; ".join(line.strip() for line in checked.stderr.decode(errors="replace").splitlines() if "[ALERT]" in line)
        raise RouterRefused(f"HAProxy does not take its new configuration: {said}", hint="What runs goes on with the old one.")


def _delta(slot: int, owner: Placed | None, live: Iterable[LiveServer]) -> SlotDelta:
    if owner is None:
        return slot_delta(slot, (), live)
    kept = {end.instance for end in owner.routes.endpoints}
    return slot_delta(slot, owner.filled()[slot], live, link=owner.routes.policy.link, kept=kept)


def _servers(placed: Placed, slot: int) -> list[LiveServer]:
    """What a slot holds if HAProxy has what it was told."""
    link = placed.routes.policy.link
    return [
        LiveServer(name=server_name(end, link), address=end.address, port=end.port, maintenance=end.draining, weight=end.weight)
        for end in placed.filled().get(slot, ())
    ]


def _edits(wanted: Entries, there: Entries) -> list[str]:
    """Commands for maps that have `there` to hold what is wanted, in the order of the maps."""
    return [
        f"{'set' if key in there.get(path, {}) else 'add'} map {path} {key} {value}"
        for path, entries in wanted.items()
        for key, value in entries.items()
        if there.get(path, {}).get(key) != value
    ]


def _drops(wanted: Entries, there: Entries) -> list[str]:
    """Commands that take out what is wanted no more, hosts first."""
    return [f"del map {path} {key}" for path in reversed(list(there)) for key in there[path] if key not in wanted[path]]


def _empties(placed: Placed, deltas: Iterable[SlotDelta]) -> bool:
    """Whether a slot loses the last that took new requests: those that chose it an instant before would find it so, and be refused."""
    slots = zip(deltas, placed.filled().values(), strict=True)
    return any(delta.close and all(end.draining for end in ends) for delta, ends in slots)


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
