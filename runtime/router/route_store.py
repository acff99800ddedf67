"""The router's files. `routes/APP.json` is the source; HAProxy's files are rendered from it.

Each file is replaced as a whole, in this order: the claim of a new slot, `routes/APP.json`, and
HAProxy's files. Before the last step, the running HAProxy gets the change. If the writer is killed
in between, HAProxy can still start from the files, at most one change behind. Then `repair` renders
them again. The caller holds the router's lock.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

from runtime import journal
from runtime.config import NodeConfig
from runtime.router import haproxy, pages
from runtime.router.config import render
from runtime.router.config.render import Identity
from runtime.router.document import from_document, to_document
from runtime.router.map_entries import Maps, app_entries, app_of, groups, members, slot_name
from runtime.router.policy import Link
from runtime.router.routes import AppRoutes, Endpoint

_FEW = 8  # entries; for more, the whole map is parsed
SLOTS_AT_FIRST = 64
# HAProxy lists its files in an environment variable, which the kernel limits to 128 KiB
SLOTS_PER_FILE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRoutes:
    """An app's routes and its slots, by group of servers. An app never changes its slots."""

    routes: AppRoutes
    slots: Mapping[str, int]

    def filled(self) -> dict[int, tuple[Endpoint, ...]]:
        """Return the endpoints that each slot should contain."""
        return {slot: members(self.routes, group) for group, slot in self.slots.items()}


class RouteStore:
    """Reads and writes the folder `config.router`."""

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self._routes = config.router / "routes"
        self._claims = config.router / "claims.map"
        self._cookie_key = config.router / "cookie-key"
        # by app: the version of its file, and the routes
        self._read: dict[str, tuple[tuple[int, int], StoredRoutes]] = {}
        # map files as last read, each after a newline
        self._texts: dict[Path, tuple[tuple[int, int], str]] = {}
        self.maps = Maps(folder=config.router / "maps")
        self.fixed = haproxy.fixed_file(config)
        self.slots = haproxy.pool_folder(config)

    def prepare(self, identity: Identity | None, *, accept: Callable[[list[Path]], None]) -> bool:
        """Create the folders, the fixed files and a first pool of slots.

        Return whether the fixed configuration changed. `accept` raises for files that HAProxy would
        not start from. A new fixed configuration replaces the old one only after `accept` returned.
        """
        for folder in (self._config.router, self._routes, self.maps.folder, self.slots):
            folder.mkdir(parents=True, exist_ok=True)
        if not self._cookie_key.exists():
            _write(self._cookie_key, secrets.token_hex(16))
        if not self.maps.acme.exists():
            _write(self.maps.acme, "")
        _write(self.maps.pages, pages.pages_map(self._config.url_of(self._config.portal_host)))
        for path in self.maps.of_apps:
            if not path.exists():
                _write(path, "")
        if self.pool() < SLOTS_AT_FIRST:
            self.grow(SLOTS_AT_FIRST)
        key = self._cookie_key.read_text()
        fixed = render.fixed_config(
            self._config, self.maps, identity, cookie_key=key, threads=haproxy.threads()
        )
        if self.fixed.exists() and self.fixed.read_text() == fixed:
            return False
        candidate = self.fixed.with_suffix(".candidate")
        _write(candidate, fixed)
        accept([candidate, self.slots])
        candidate.replace(self.fixed)
        return True

    def all(self) -> dict[str, StoredRoutes]:
        """Return the routes and slots of all apps, by app."""
        found = (self.placed(path.stem) for path in sorted(self._routes.glob("[!.]*.json")))
        return {placed.routes.app: placed for placed in found if placed is not None}

    def placed(self, app: str) -> StoredRoutes | None:
        """Return an app's routes and slots.

        Return None for an unknown app and for a damaged file. A damaged file is written again by
        the next `place`.
        """
        path = self._path(app)
        try:
            version = _version(path)
            known = self._read.get(app)
            if known is None or known[0] != version:
                routes, slots = from_document(json.loads(path.read_bytes()))
                known = self._read[app] = (version, StoredRoutes(routes=routes, slots=slots))
            return known[1]
        except (FileNotFoundError, ValueError):
            self._read.pop(app, None)
            return None

    def owner(self, host: str) -> str | None:
        """Return the app of a host, or None."""
        path, key = (self.maps.wild, host[2:]) if host.startswith("*.") else (self.maps.hosts, host)
        text = self._map_text(path)
        start = text.find(f"\n{key} ")
        return app_of(text[start + len(key) + 2 :].split("\n", 1)[0]) if start >= 0 else None

    def place(self, routes: AppRoutes) -> tuple[StoredRoutes, StoredRoutes | None, bool]:
        """Write an app's routes, and claim its slots. The caller calls `render` next.

        Return the new state, the previous state, and whether the pool grew. HAProxy must reload if
        it grew.
        """
        before = self.placed(routes.app)
        slots, grew = self._claim(routes, dict(before.slots) if before else {})
        now = StoredRoutes(routes=routes, slots=slots)
        path = self._path(routes.app)
        _write(path, json.dumps(to_document(routes, slots)) + "\n")
        self._read[routes.app] = (_version(path), now)
        return now, before, grew

    def render(self, now: StoredRoutes, before: StoredRoutes | None) -> None:
        """Write the slots and map entries of an app for HAProxy."""
        for slot, endpoints in now.filled().items():
            self._write_slot(slot, endpoints, link=now.routes.policy.link)
        old = self.entries(before) if before else {}
        for path, entries in self.entries(now).items():
            self._edit_map(path, entries, drop=set(old.get(path, {})) - set(entries))

    def entries(self, placed: StoredRoutes) -> dict[Path, dict[str, str]]:
        """Return an app's entries in the maps."""
        return app_entries(self.maps, placed.routes, placed.slots)

    def challenges(self) -> dict[str, str]:
        """Return the answers to ACME challenges, by token."""
        return render.map_entries(self._text(self.maps.acme))

    def edit_challenges(self, put: Mapping[str, str], *, drop: Iterable[str] = ()) -> None:
        """Add and remove answers to ACME challenges."""
        self._edit_map(self.maps.acme, put, drop=drop)

    def make_durable(self, app: str) -> None:
        """Sync the file of an app's routes, or its removal, to the disk.

        Called after the change is in effect, so that no request waits for the disk.
        """
        journal.sync_file(self._path(app))

    def forget(self, app: str) -> StoredRoutes | None:
        """Remove an app's files, empty its slots, and return its previous state."""
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

    def repair(self, stored: Mapping[str, StoredRoutes]) -> list[str]:
        """Render all files from the routes of all apps, and describe what was out of date."""
        behind = []
        for path, entries in self.map_entries(stored).items():
            if _write(path, render.map_text(entries)):
                behind.append(f"The map {path.stem} was out of date.")
        claims = {
            _claim_key(app, group): str(slot)
            for app, placed in stored.items()
            for group, slot in placed.slots.items()
        }
        _write(self._claims, render.map_text(claims))
        filled = {
            slot: (ends, placed.routes.policy.link)
            for placed in stored.values()
            for slot, ends in placed.filled().items()
        }
        self.grow(max(filled, default=0) + 1)
        empty: tuple[tuple[Endpoint, ...], bool] = ((), False)
        for number in range(self.pool() // SLOTS_PER_FILE):
            first = number * SLOTS_PER_FILE
            chunk = (
                render.slot_config(slot, *filled.get(slot, empty))
                for slot in range(first, first + SLOTS_PER_FILE)
            )
            if _write(self._slot_path(first), "".join(chunk)):
                behind.append(f"The file of the slots from {first} was out of date.")
        return behind

    def map_entries(self, stored: Mapping[str, StoredRoutes]) -> dict[Path, dict[str, str]]:
        """Return the desired entries of all maps."""
        whole: dict[Path, dict[str, str]] = {path: {} for path in self.maps.of_apps}
        for _, placed in sorted(stored.items()):
            for path, entries in self.entries(placed).items():
                whole[path] |= entries
        for path, entries in render.portal_entries(self._config, self.maps).items():
            whole[path] |= entries
        whole[self.maps.acme] = self.challenges()
        return whole

    def pool(self) -> int:
        """Return the number of slots."""
        return SLOTS_PER_FILE * sum(1 for _ in self.slots.glob("[0-9]*.cfg"))

    def grow(self, size: int) -> None:
        """Add empty slots up to `size`, rounded up to whole files."""
        for first in range(0, size, SLOTS_PER_FILE):
            if not self._slot_path(first).exists():
                _write(
                    self._slot_path(first),
                    "".join(
                        render.slot_config(slot) for slot in range(first, first + SLOTS_PER_FILE)
                    ),
                )

    def _claim(self, routes: AppRoutes, slots: dict[str, int]) -> tuple[dict[str, int], bool]:
        """Return the slots of all groups of an app, and whether the pool grew.

        Groups without a slot claim free ones.
        """
        missing = [group for group in groups(routes) if group not in slots]
        if not missing:
            return slots, False
        claims = render.map_entries(self._text(self._claims))
        slots |= {
            group: int(claims[key])
            for group in missing
            if (key := _claim_key(routes.app, group)) in claims
        }
        missing = [group for group in missing if group not in slots]
        taken, size = {int(slot) for slot in claims.values()}, self.pool()
        free = [slot for slot in range(size) if slot not in taken][: len(missing)]
        grew = len(free) < len(missing)
        if grew:
            self.grow(size * 2)
            free += range(size, size + len(missing) - len(free))
        slots |= zip(missing, free, strict=True)
        self._edit_map(
            self._claims,
            {_claim_key(routes.app, group): str(slots[group]) for group in missing},
            drop=(),
        )
        return slots, grew

    def _write_slot(
        self, slot: int, endpoints: tuple[Endpoint, ...], *, link: Link = Link.FRESH
    ) -> None:
        """Replace a slot's part of its file.

        A damaged file may lack that part; `repair` writes the whole file again.
        """
        text = self._text(self._slot_path(slot))
        start = text.find(f"backend {slot_name(slot)} ")
        if start < 0:
            return
        end = text.find("\nbackend ", start) + 1 or len(text)
        _write(
            self._slot_path(slot),
            text[:start] + render.slot_config(slot, endpoints, link) + text[end:],
        )

    def _edit_map(self, path: Path, put: Mapping[str, str], *, drop: Iterable[str]) -> None:
        """Change some entries of a map file.

        Most changes update a few existing entries; a large map is not parsed for those.
        """
        text, gone = self._map_text(path), set(drop)
        if not gone and len(put) <= _FEW and all(f"\n{key} " in text for key in put):
            changed = reduce(_with_entry, put.items(), text)
        else:
            entries = {
                key: value for key, value in render.map_entries(text).items() if key not in gone
            }
            changed = "\n" + render.map_text({**entries, **put})
        if changed != text:
            _write(path, changed[1:])

    def _text(self, path: Path) -> str:
        return path.read_text() if path.exists() else ""

    def _map_text(self, path: Path) -> str:
        """Return a map's text after a newline, from a cache until the file changes.

        Most changes of an app only read the map, and it may be large.
        """
        try:
            version = _version(path)
        except FileNotFoundError:
            return "\n"
        known = self._texts.get(path)
        if known is None or known[0] != version:
            known = self._texts[path] = (version, "\n" + path.read_text())
        return known[1]

    def _path(self, app: str) -> Path:
        return self._routes / f"{app}.json"

    def _slot_path(self, slot: int) -> Path:
        return self.slots / f"{slot // SLOTS_PER_FILE:05d}.cfg"


def _with_entry(text: str, entry: tuple[str, str]) -> str:
    """Return a map's text with another value for an existing key.

    The text starts with a newline.
    """
    key, value = entry
    start = text.index(f"\n{key} ") + 1
    return f"{text[:start]}{key} {value}" + text[text.index("\n", start) :]


def _version(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns  # a replaced file has another inode


def _claim_key(app: str, group: str) -> str:
    return f"{app}/{group}"


def _write(path: Path, text: str) -> bool:
    """Write a file if its content differs. Return whether it did.

    The write is not durable: a reboot ends all instances, and `prepare` renders the files again.
    """
    data = text.encode()
    if path.exists() and path.read_bytes() == data:
        return False
    journal.write_atomic(path, data, durable=False)
    return True
