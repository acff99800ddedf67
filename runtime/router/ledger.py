"""The router's files: `routes/APP.json` is the truth, everything HAProxy reads is rendered from it.

Each file is replaced whole, the truth first. A writer killed in between leaves files that HAProxy still starts from, one
step behind at the worst; `repair` brings them up to the truth. The caller holds the router's lock.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from runtime import journal
from runtime.config import NodeConfig
from runtime.router import pages, render
from runtime.router.render import Identity, Maps
from runtime.router.table import AppRoutes, AppSituation, Endpoint

SLOTS_AT_FIRST = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """An app's routes and the slot it owns."""

    routes: AppRoutes
    slot: int


class Ledger:
    """Reads and writes the folder `config.router`."""

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self._routes = config.router / "routes"
        self.maps = Maps(folder=config.router / "maps")
        self.fixed = config.router / "00-fixed.cfg"
        self.slots = config.router / "slots"

    def prepare(self, identity: Identity | None) -> None:
        """Make the folders and the fixed files, and a first pool of slots."""
        for folder in (self._config.router, self._routes, self.maps.folder, self.slots):
            folder.mkdir(parents=True, exist_ok=True)
        _write(self.fixed, render.fixed_config(self._config, self.maps, identity))
        _write(self.maps.pages, pages.pages_map())
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
            return None if document is None else _placed(document)
        except (ValueError, KeyError, TypeError):
            return None

    def owner(self, host: str) -> str | None:
        """The app a host leads to."""
        return self._map(self.maps.hosts).get(host)

    def place(self, routes: AppRoutes) -> tuple[Placed, Placed | None, bool]:
        """Write an app's files: what it is now, what it was, and whether the pool grew (then HAProxy must load it)."""
        before = self.placed(routes.app)
        slot, grew = (before.slot, False) if before else self._take_slot()
        now = Placed(routes=routes, slot=slot)
        _write(self._path(routes.app), json.dumps({"slot": slot, **asdict(routes)}) + "\n")
        self._write_slot(slot, routes.endpoints)
        self._edit_map(self.maps.apps, {routes.app: render.app_record(slot, routes.situation)}, drop=())
        gone = set(before.routes.hosts) - set(routes.hosts) if before else set()
        self._edit_map(self.maps.hosts, dict.fromkeys(routes.hosts, routes.app), drop=gone)
        return now, before, grew

    def make_durable(self, app: str) -> None:
        """See an app's truth through to the disk. After the change is in effect: nobody waits for a disk to be served."""
        journal.sync_file(self._path(app))

    def forget(self, app: str) -> Placed | None:
        """Remove an app's files and empty its slot; what it was."""
        before = self.placed(app)
        if before is None:
            return None
        self._path(app).unlink(missing_ok=True)
        self._edit_map(self.maps.hosts, {}, drop=before.routes.hosts)
        self._edit_map(self.maps.apps, {}, drop=(app,))
        self._write_slot(before.slot, ())
        return before

    def repair(self) -> list[str]:
        """Render everything from the truth again; says in words what was behind."""
        truth = self.all()
        behind = []
        for name, path, entries in (
            ("hosts", self.maps.hosts, self.host_entries(truth)),
            ("apps", self.maps.apps, self.app_entries(truth)),
        ):
            if _write(path, render.map_text(entries)):
                behind.append(f"The map of {name} was behind the routes.")
        endpoints = {placed.slot: placed.routes.endpoints for placed in truth.values()}
        self.grow(max(endpoints, default=0) + 1)
        rewritten = [slot for slot in range(self.pool()) if self._write_slot(slot, endpoints.get(slot, ()))]
        return behind + [f"The file of slot {slot} was behind the routes." for slot in rewritten]

    def host_entries(self, truth: Mapping[str, Placed]) -> dict[str, str]:
        """The map of hosts as it should be."""
        return render.host_entries(self._config, {app: placed.routes for app, placed in truth.items()})

    def app_entries(self, truth: Mapping[str, Placed]) -> dict[str, str]:
        """The map of apps as it should be."""
        records = {app: render.app_record(placed.slot, placed.routes.situation) for app, placed in truth.items()}
        return records | {render.PORTAL: render.portal_record()}

    def pool(self) -> int:
        """How many slots there are."""
        return sum(1 for _ in self.slots.glob("[0-9]*.cfg"))

    def grow(self, size: int) -> None:
        """Add empty slots up to `size`."""
        for slot in range(size):
            if not self._slot_path(slot).exists():
                self._write_slot(slot, ())

    def _take_slot(self) -> tuple[int, bool]:
        taken = {placed.slot for placed in self.all().values()}
        size = self.pool()
        free = next((slot for slot in range(size) if slot not in taken), None)
        if free is not None:
            return free, False
        self.grow(size * 2)
        return size, True

    def _write_slot(self, slot: int, endpoints: tuple[Endpoint, ...]) -> bool:
        return _write(self._slot_path(slot), render.slot_config(slot, endpoints))

    def _edit_map(self, path: Path, put: Mapping[str, str], *, drop: tuple[str, ...] | set[str]) -> None:
        entries = {key: value for key, value in self._map(path).items() if key not in drop}
        _write(path, render.map_text({**entries, **put}))

    def _map(self, path: Path) -> dict[str, str]:
        return render.map_entries(path.read_text()) if path.exists() else {}

    def _path(self, app: str) -> Path:
        return self._routes / f"{app}.json"

    def _slot_path(self, slot: int) -> Path:
        return self.slots / f"{slot:05d}.cfg"


def _placed(document: dict[str, object]) -> Placed:
    fields = dict(document)
    slot = fields.pop("slot")
    endpoints, hosts, situation = fields.pop("endpoints"), fields.pop("hosts"), fields.pop("situation")
    if not (isinstance(slot, int) and isinstance(endpoints, list) and isinstance(hosts, list)):
        raise TypeError(f"not a route: {document}")
    routes = AppRoutes(
        app=str(fields["app"]),
        hosts=tuple(hosts),
        endpoints=tuple(Endpoint(**endpoint) for endpoint in endpoints),
        situation=AppSituation(str(situation)),
    )
    return Placed(routes=routes, slot=slot)


def _write(path: Path, text: str) -> bool:
    """Replace a file whose content differs; whether it did. Not durable: a reboot ends all instances, and `prepare` renders anew."""
    data = text.encode()
    if path.exists() and path.read_bytes() == data:
        return False
    journal.write_atomic(path, data, durable=False)
    return True
