"""The router's files: `routes/APP.json` is the truth, everything HAProxy reads is rendered from it.

Each file is replaced whole: a new slot's claim, then the truth, then the rest. A writer killed in between leaves files that
HAProxy still starts from, one step behind at the worst; `repair` brings them up to the truth. The caller holds the router's lock.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from runtime import journal
from runtime.config import NodeConfig
from runtime.router import pages, render
from runtime.router.document import from_document, to_document
from runtime.router.record import Maps, app_entries, groups, members
from runtime.router.render import Identity
from runtime.router.table import AppRoutes, Endpoint

SLOTS_AT_FIRST = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """An app's routes and the slots it owns, by group of servers. An app keeps a slot once it has it."""

    routes: AppRoutes
    slots: Mapping[str, int]

    def filled(self) -> dict[int, tuple[Endpoint, ...]]:
        """What each slot should hold."""
        return {slot: members(self.routes, group) for group, slot in self.slots.items()}


class Ledger:
    """Reads and writes the folder `config.router`."""

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self._routes = config.router / "routes"
        self._claims = config.router / "claims.map"
        self._cookie_key = config.router / "cookie-key"
        self.maps = Maps(folder=config.router / "maps")
        self.fixed = config.router / "00-fixed.cfg"
        self.slots = config.router / "slots"

    def prepare(self, identity: Identity | None) -> None:
        """Make the folders and the fixed files, and a first pool of slots."""
        for folder in (self._config.router, self._routes, self.maps.folder, self.slots):
            folder.mkdir(parents=True, exist_ok=True)
        if not self._cookie_key.exists():
            _write(self._cookie_key, secrets.token_hex(16))
        if not self.maps.acme.exists():
            _write(self.maps.acme, "")
        _write(self.fixed, render.fixed_config(self._config, self.maps, identity, cookie_key=self._cookie_key.read_text()))
        _write(self.maps.pages, pages.pages_map(self._config.url_of(self._config.portal_host)))
        if self.pool() < SLOTS_AT_FIRST:
            self.grow(SLOTS_AT_FIRST)

    def all(self) -> dict[str, Placed]:
        """The truth, whole."""
        found = (self.placed(path.stem) for path in sorted(self._routes.glob("[!.]*.json")))
        return {placed.routes.app: placed for placed in found if placed is not None}

    def placed(self, app: str) -> Placed | None:
        """One app's truth; None for an app the router does not know, or whose file was damaged (then it is set anew)."""
        try:
            document = journal.read_json(self._path(app))
            if document is None:
                return None
            routes, slots = from_document(document)
            return Placed(routes=routes, slots=slots)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def owner(self, host: str) -> str | None:
        """The app a host leads to."""
        path, key = (self.maps.wild, host[2:]) if host.startswith("*.") else (self.maps.hosts, host)
        text = "\n" + self._text(path)
        start = text.find(f"\n{key} ")
        return text[start + len(key) + 2 :].split("\n", 1)[0] if start >= 0 else None

    def place(self, routes: AppRoutes) -> tuple[Placed, Placed | None, bool]:
        """Write an app's files: what it is now, what it was, and whether the pool grew (then HAProxy must load it)."""
        before = self.placed(routes.app)
        slots, grew = self._claim(routes, dict(before.slots) if before else {})
        now = Placed(routes=routes, slots=slots)
        _write(self._path(routes.app), json.dumps(to_document(routes, slots)) + "\n")
        for slot, endpoints in now.filled().items():
            self._write_slot(slot, endpoints, http2=routes.policy.http2)
        old = self.entries(before) if before else {}
        for path, entries in self.entries(now).items():
            self._edit_map(path, entries, drop=set(old.get(path, {})) - set(entries))
        return now, before, grew

    def entries(self, placed: Placed) -> dict[Path, dict[str, str]]:
        """An app's entries in the maps."""
        return app_entries(self.maps, placed.routes, placed.slots)

    def challenges(self) -> dict[str, str]:
        """Answers to ACME challenges, by token."""
        return render.map_entries(self._text(self.maps.acme))

    def edit_challenges(self, put: Mapping[str, str], *, drop: Iterable[str] = ()) -> None:
        """Add and remove such answers."""
        self._edit_map(self.maps.acme, put, drop=drop)

    def make_durable(self, app: str) -> None:
        """See an app's truth through to the disk. After the change is in effect: nobody waits for a disk to be served."""
        journal.sync_file(self._path(app))

    def forget(self, app: str) -> Placed | None:
        """Remove an app's files and empty its slots; what it was."""
        before = self.placed(app)
        if before is None:
            return None
        self._path(app).unlink(missing_ok=True)
        for path, entries in reversed(self.entries(before).items()):
            self._edit_map(path, {}, drop=entries)
        for slot in before.slots.values():
            self._write_slot(slot, ())
        self._edit_map(self._claims, {}, drop={_claim_key(app, group) for group in before.slots})
        return before

    def repair(self) -> list[str]:
        """Render everything from the truth again; says in words what was behind."""
        truth = self.all()
        behind = []
        for path, entries in self.map_entries(truth).items():
            if _write(path, render.map_text(entries)):
                behind.append(f"The map {path.stem} was behind the routes.")
        claims = {_claim_key(app, group): str(slot) for app, placed in truth.items() for group, slot in placed.slots.items()}
        _write(self._claims, render.map_text(claims))
        filled = {slot: (ends, placed.routes.policy.http2) for placed in truth.values() for slot, ends in placed.filled().items()}
        self.grow(max(filled, default=0) + 1)
        empty: tuple[tuple[Endpoint, ...], bool] = ((), False)
        rewritten = []
        for slot in range(self.pool()):
            endpoints, http2 = filled.get(slot, empty)
            if self._write_slot(slot, endpoints, http2=http2):
                rewritten.append(slot)
        return behind + [f"The file of slot {slot} was behind the routes." for slot in rewritten]

    def map_entries(self, truth: Mapping[str, Placed]) -> dict[Path, dict[str, str]]:
        """All maps of apps as they should be."""
        whole: dict[Path, dict[str, str]] = {path: {} for path in self.maps.of_apps}
        for _, placed in sorted(truth.items()):
            for path, entries in self.entries(placed).items():
                whole[path] |= entries
        for path, entries in render.portal_entries(self._config, self.maps).items():
            whole[path] |= entries
        whole[self.maps.acme] = self.challenges()
        return whole

    def pool(self) -> int:
        """How many slots there are."""
        return sum(1 for _ in self.slots.glob("[0-9]*.cfg"))

    def grow(self, size: int) -> None:
        """Add empty slots up to `size`."""
        for slot in range(size):
            if not self._slot_path(slot).exists():
                self._write_slot(slot, ())

    def _claim(self, routes: AppRoutes, slots: dict[str, int]) -> tuple[dict[str, int], bool]:
        """Slots for every group of an app, those it has and free ones; and whether the pool grew for it."""
        missing = [group for group in groups(routes) if group not in slots]
        if not missing:
            return slots, False
        claims = render.map_entries(self._text(self._claims))
        slots |= {group: int(claims[key]) for group in missing if (key := _claim_key(routes.app, group)) in claims}
        missing = [group for group in missing if group not in slots]
        taken, size = {int(slot) for slot in claims.values()}, self.pool()
        free = [slot for slot in range(size) if slot not in taken][: len(missing)]
        grew = len(free) < len(missing)
        if grew:
            self.grow(size * 2)
            free += range(size, size + len(missing) - len(free))
        slots |= zip(missing, free, strict=True)
        self._edit_map(self._claims, {_claim_key(routes.app, group): str(slots[group]) for group in missing}, drop=())
        return slots, grew

    def _write_slot(self, slot: int, endpoints: tuple[Endpoint, ...], *, http2: bool = False) -> bool:
        return _write(self._slot_path(slot), render.slot_config(slot, endpoints, http2=http2))

    def _edit_map(self, path: Path, put: Mapping[str, str], *, drop: Iterable[str]) -> None:
        """Change some entries of a map's file. Most changes of an app touch none, and a large map is not taken apart for that."""
        text = "\n" + self._text(path)
        if all(f"\n{key} {value}\n" in text for key, value in put.items()) and not any(f"\n{key} " in text for key in drop):
            return
        gone = set(drop)
        entries = {key: value for key, value in render.map_entries(text).items() if key not in gone}
        _write(path, render.map_text({**entries, **put}))

    def _text(self, path: Path) -> str:
        return path.read_text() if path.exists() else ""

    def _path(self, app: str) -> Path:
        return self._routes / f"{app}.json"

    def _slot_path(self, slot: int) -> Path:
        return self.slots / f"{slot:05d}.cfg"


def _claim_key(app: str, group: str) -> str:
    return f"{app}/{group}"


def _write(path: Path, text: str) -> bool:
    """Replace a file whose content differs; whether it did. Not durable: a reboot ends all instances, and `prepare` renders anew."""
    data = text.encode()
    if path.exists() and path.read_bytes() == data:
        return False
    journal.write_atomic(path, data, durable=False)
    return True
