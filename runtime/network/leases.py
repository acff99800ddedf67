"""The stored addresses of containers.

A container keeps its address until it is detached, also through restarts and reboots.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from runtime import journal
from runtime.errors import NetworkRefused
from runtime.network.addresses import interface_name, next_address


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The owner of a container: its team's policy applies, and its traffic counts for its app."""

    team: int = 0
    app: str = ""
    build: bool = False


NOBODY = Owner()  # owner in a lease of an older version, until `set_owners`


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A container's address, the name of the host's end of its link, and its owner."""

    address: IPv4Address
    interface: str
    owner: Owner = NOBODY


class Leases:
    """The file of all leases. A lock guards changes, because several worker processes share it."""

    def __init__(self, folder: Path, *, node: str, network: IPv4Network) -> None:
        self._file = folder / "leases.json"
        self._lock = folder / "lock"
        self._node = node
        self._network = network

    @contextmanager
    def held(self) -> Iterator[Mapping[str, Lease]]:
        """Yield all leases. They do not change inside the block."""
        with journal.lock(self._lock):
            yield self.all()

    def all(self) -> dict[str, Lease]:
        """Return every lease, by container."""
        return _leases(self._read())

    def take(self, container: str, owner: Owner = NOBODY) -> Lease:
        """Return the container's lease. Create one if it has none."""
        with journal.lock(self._lock):
            document = self._read()
            leases = _leases(document)
            if container in leases:
                return leases[container]
            last = IPv4Address(str(document["last"])) if document.get("last") else None
            number = int(str(document.get("number", 0))) + 1
            lease = Lease(
                address=next_address(
                    self._network, {other.address for other in leases.values()}, last
                ),
                interface=interface_name(self._node, number),
                owner=owner,
            )
            self._write({**leases, container: lease}, last=lease.address, number=number)
            return lease

    def set_owners(self, owners: Mapping[str, Owner]) -> None:
        """Add owners to the leases that an older version wrote without them."""
        with journal.lock(self._lock):
            document = self._read()
            leases = _leases(document)
            found = {
                container: replace(lease, owner=owners[container])
                for container, lease in leases.items()
                if lease.owner == NOBODY and container in owners
            }
            if found:
                self._write(
                    {**leases, **found},
                    last=IPv4Address(str(document["last"])),
                    number=int(str(document["number"])),
                )

    def drop(self, container: str) -> None:
        """Remove the container's lease, if it has one."""
        with journal.lock(self._lock):
            document = self._read()
            leases = _leases(document)
            if leases.pop(container, None) is not None:
                self._write(
                    leases,
                    last=IPv4Address(str(document["last"])),
                    number=int(str(document["number"])),
                )

    def _read(self) -> dict[str, object]:
        try:
            return dict(journal.read_json(self._file) or {})
        except (TypeError, ValueError):
            raise NetworkRefused(
                f"{self._file} is damaged: the addresses of the containers are not known.",
                hint="Run `make down`, delete the file, and run `make up`.",
            ) from None

    def _write(self, leases: Mapping[str, Lease], *, last: IPv4Address, number: int) -> None:
        rows = {
            container: {
                "address": str(lease.address),
                "interface": lease.interface,
                "owner": asdict(lease.owner),
            }
            for container, lease in leases.items()
        }
        journal.write_json(self._file, {"last": str(last), "number": number, "leases": rows})


def _leases(document: Mapping[str, object]) -> dict[str, Lease]:
    rows = document.get("leases") or {}
    assert isinstance(rows, dict)
    return {
        container: Lease(
            address=IPv4Address(row["address"]),
            interface=row["interface"],
            owner=Owner(**row.get("owner", {})),
        )
        for container, row in rows.items()
    }
