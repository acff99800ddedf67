"""The pulls of base images from registries.

All builds share them, and the collector keeps recently used ones.

An hour after the last check, the registry is asked again for a name. Nothing is fetched if the
digest is the same. If the registry does not answer, the stored image is used. A name with a digest
is pulled once.
"""

from __future__ import annotations

import hashlib
import ipaddress
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime import cancellation, journal
from runtime.config import NodeConfig, proxy_ports
from runtime.confined.session import PLATFORM
from runtime.contract.quantities import Bytes
from runtime.errors import BuildFailed, ImageDamaged, NotAllowed, TransferFailed, Unreachable
from runtime.images.digest import Digest
from runtime.images.exchange.registry_reference import (
    RedirectScope,
    Registries,
    RemoteName,
    bare_host,
)
from runtime.images.exchange.transfer import Access, Transfer
from runtime.images.store import Store
from runtime.images.use import mark

FRESH = 3600.0  # seconds
_FIRST_ANSWER = 60.0  # seconds for a registry to return the digest of a name
_POLL_SECONDS = 0.2  # seconds between two attempts while another process pulls


@dataclass(frozen=True, slots=True, kw_only=True)
class _PullRecord:
    """The record of a pulled name."""

    image: Digest  # in our store
    source: str  # the digest that the registry returned for the name
    asked_at: float  # Unix seconds


class Pulls:
    """The pulled images of one store."""

    def __init__(
        self, config: NodeConfig, store: Store, *, now: Callable[[], float] = time.time
    ) -> None:
        self._config, self._store, self._now = config, store, now
        self._registries = Registries.of(config)

    def find(
        self, text: str, log: Callable[[str], None], *, deadline: float, team: int = PLATFORM
    ) -> Digest:
        """Return the image of a name, and pull it if needed. The caller holds a lease.

        `deadline` is of time.monotonic(). The pull runs under the limits of `team`. Raises
        TransferFailed: the name does not exist or access is denied; NotAllowed: the registry is not
        allowed; Unreachable: it does not answer; ImageDamaged: the image is damaged or for another
        machine; BuildFailed: out of time or cancelled.
        """
        name = allowed(self._registries, text)
        with self._name_lock(name, deadline):
            note = self._read(name)
            if note and (name.digest or self._now() - note.asked_at < FRESH):
                mark(self._path(name))
                return note.image
            limit = min(self._config.pull_timeout, max(deadline - time.monotonic(), 1.0))

            def transfer(seconds: float) -> Transfer:
                return Transfer(
                    self._config, self._store, time_limit=seconds, team=team, progress=log
                )

            try:
                return self._pull_if_changed(
                    transfer(min(limit, _FIRST_ANSWER)), transfer(limit), name, note, log
                )
            except Unreachable as failure:
                if note is None:
                    raise
                log(f"{failure.what} Using the image of an earlier pull, {note.image.short}.")
                mark(self._path(name))
                return note.image

    def _pull_if_changed(
        self,
        first: Transfer,
        then: Transfer,
        name: RemoteName,
        note: _PullRecord | None,
        log: Callable[[str], None],
    ) -> Digest:
        """Return the registry's current image. `first` requests its digest, `then` pulls it."""
        asked = self._registries.pull_name(name)
        access = Access(
            plain_http=self._registries.is_plain(asked), reach=reach(self._registries, name, asked)
        )
        source, started = f"docker://{asked}", time.monotonic()
        try:
            there = first.digest_of(source, access)
            if note and there == note.source:
                self._write(name, _PullRecord(image=note.image, source=there, asked_at=self._now()))
                return note.image
            log(f"Pulling {name}" + (f" from {asked.host}" if asked != name else ""))
            image = then.import_from(
                f"docker://{asked.repository}@{there}", access, most=self._config.cache_size
            ).digest
        except (TransferFailed, ImageDamaged) as failure:
            raise pull_failed(name, failure) from None
        self._write(name, _PullRecord(image=image, source=there, asked_at=self._now()))
        layers = self._store.layers_of(image)
        size = Bytes(sum(layer.size for layer in layers))
        log(
            f"Pulled {name}: {size} in {len(layers)} layers, {time.monotonic() - started:.1f} s,"
            f" {image.short}"
        )
        return image

    @contextmanager
    def _name_lock(self, name: RemoteName, deadline: float) -> Iterator[None]:
        """Hold the lock of a name, so that a second build uses the image of the first pull."""
        while True:
            with journal.lock(
                self._config.locks / f"pull-{_key(name)[:16]}", timeout=_POLL_SECONDS
            ) as held:
                if held:
                    yield
                    return
            cancellation.check()
            if time.monotonic() > deadline:
                raise BuildFailed(
                    f"The build ran out of time while another build pulled {name}.",
                    hint="Deploy again.",
                )

    def _path(self, name: RemoteName) -> Path:
        return self._config.cache / "pulls" / f"{_key(name)}.json"

    def _read(self, name: RemoteName) -> _PullRecord | None:
        try:
            document: dict[str, Any] = journal.read_json(self._path(name))
            note = _PullRecord(
                image=Digest.parse(document["image"]),
                source=document["source"],
                asked_at=float(document["asked_at"]),
            )
            self._store.layers_of(note.image)
        except (KeyError, TypeError, ValueError, ImageDamaged):  # none, or damaged
            return None
        return note

    def _write(self, name: RemoteName, note: _PullRecord) -> None:
        self._path(name).parent.mkdir(parents=True, exist_ok=True)
        record = {
            "name": str(name),
            "image": note.image,
            "source": note.source,
            "asked_at": note.asked_at,
        }
        journal.write_json(self._path(name), record)


def allowed(registries: Registries, text: str, *, mirrored: bool = True) -> RemoteName:
    """Return the parsed name if builds may use the image. `mirrored`: a mirror may be used.

    Raises TransferFailed if the name is not valid, and NotAllowed if its registry is not allowed.
    """
    try:
        name = RemoteName.parse(text)
    except ValueError as error:
        raise TransferFailed(f"{error}.", hint="An image is named HOST/NAME:TAG.") from None
    if not registries.allows(name):
        raise NotAllowed(
            f"Builds on this node may not use images from {name.repository}.",
            hint=(
                "Allowed:"
                f" {', '.join(registries.allowed) or 'any registry except this machine itself'}. An"
                " admin sets SLIPWAY_REGISTRIES."
            ),
        )
    asked = registries.pull_name(name) if mirrored else name
    if (
        asked == name
        and not registries.is_configured(name)
        and any(
            registries.is_inside(address) or _is_own(address) for address in _addresses(name.host)
        )
    ):
        what = (
            f"Builds on this node may not use images from {name.repository}: that name leads to"
            " this machine or to an app on it."
        )
        raise NotAllowed(
            what, hint="Use another registry, or ask an admin to add it to SLIPWAY_REGISTRIES."
        )
    return name


def reach(registries: Registries, name: RemoteName, asked: RemoteName) -> RedirectScope:
    """Return where the registry `asked` may redirect.

    A registry in a private network may redirect there, and a registry that the operator names may
    too. A proxy in a private network also reaches public registries; then redirects are followed by
    the proxy.
    """
    if asked != name or registries.is_configured(name):
        return RedirectScope.ANYWHERE
    found = _addresses(name.host)
    public = bool(found) and all(ipaddress.ip_address(address).is_global for address in found)
    return RedirectScope.PUBLIC if public and not proxy_ports() else RedirectScope.OUTWARD


def _addresses(host: str) -> set[str]:
    """Return the current addresses of a name. If it has none, skopeo reports the error."""
    try:
        return {
            str(found[4][0]).partition("%")[0]
            for found in socket.getaddrinfo(bare_host(host), None, type=socket.SOCK_STREAM)
        }
    except (OSError, UnicodeError):
        return set()


def _is_own(address: str) -> bool:
    """Return whether this machine has the address: only then can it be bound (ip(7))."""
    with socket.socket(
        socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM
    ) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def pull_failed(
    name: RemoteName, failure: TransferFailed | ImageDamaged
) -> TransferFailed | ImageDamaged:
    """Return the same failure with the name that people gave."""
    reason = failure.what.partition(" could not be transferred. ")[2] or failure.what
    return type(failure)(f"Could not pull the image {name}: {reason}", hint=failure.hint)


def _key(name: RemoteName) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()
