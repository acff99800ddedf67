"""Images that builds begin with, fetched from registries: once for all who name them, kept by their last use.

A name is asked for anew an hour after it was last found; while the registry has the same under it nothing is fetched. Does the
registry not answer then, the image that is here serves. A name with a digest is never asked for twice.
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
from runtime.images.exchange.registry_reference import Reach, Registries, RemoteName, bare_host
from runtime.images.exchange.transfer import Access, Transfer
from runtime.images.store import Store
from runtime.images.use import mark

FRESH = 3600.0  # seconds
_FIRST_ANSWER = 60.0  # seconds a registry has to say what is under a name
_LOOK = 0.2  # seconds between two tries for a pull that somebody else does


@dataclass(frozen=True, slots=True, kw_only=True)
class _Note:
    """What was pulled under a name."""

    image: Digest  # of our store
    source: str  # the digest the registry had under the name
    asked_at: float  # Unix seconds


class Pulls:
    """One store's pulled images."""

    def __init__(self, config: NodeConfig, store: Store, *, now: Callable[[], float] = time.time) -> None:
        self._config, self._store, self._now = config, store, now
        self._registries = Registries.of(config)

    def find(self, text: str, log: Callable[[str], None], *, deadline: float, team: int = PLATFORM) -> Digest:
        """The image a name stands for, fetched if need be; `deadline` of time.monotonic(). The caller holds a lease.
        `team`: whose build asks, and pays for the fetching.

        TransferFailed: no such name, no right, or not a registry of the allowed ones (NotAllowed), or none that answers (Unreachable).
        ImageDamaged: what came is not what it says, or for another machine. BuildFailed: out of time, or cancelled.
        """
        name = allowed(self._registries, text)
        with self._turn(name, deadline):
            note = self._read(name)
            if note and (name.digest or self._now() - note.asked_at < FRESH):
                mark(self._path(name))
                return note.image
            limit = min(self._config.pull_timeout, max(deadline - time.monotonic(), 1.0))

            def transfer(seconds: float) -> Transfer:
                return Transfer(self._config, self._store, time_limit=seconds, team=team, progress=log)

            try:
                return self._ask(transfer(min(limit, _FIRST_ANSWER)), transfer(limit), name, note, log)
            except Unreachable as failure:
                if note is None:
                    raise
                log(f"{failure.what} Going on with the image that was pulled before, {note.image.short}.")
                mark(self._path(name))
                return note.image

    def _ask(self, first: Transfer, then: Transfer, name: RemoteName, note: _Note | None, log: Callable[[str], None]) -> Digest:
        """The image as the registry has it now: `first` asks which it is, `then` fetches it."""
        asked = self._registries.asked(name)
        access = Access(plain_http=self._registries.is_plain(asked), reach=reach(self._registries, name, asked))
        source, started = f"docker://{asked}", time.monotonic()
        try:
            there = first.digest_of(source, access)
            if note and there == note.source:
                self._write(name, _Note(image=note.image, source=there, asked_at=self._now()))
                return note.image
            log(f"Pulling {name}" + (f" from {asked.host}" if asked != name else ""))
            image = then.bring(f"docker://{asked.repository}@{there}", access, most=self._config.cache_size).digest
        except (TransferFailed, ImageDamaged) as failure:
            raise not_had(name, failure) from None
        self._write(name, _Note(image=image, source=there, asked_at=self._now()))
        layers = self._store.layers_of(image)
        size = Bytes(sum(layer.size for layer in layers))
        log(f"Pulled {name}: {size} in {len(layers)} layers, {time.monotonic() - started:.1f} s, {image.short}")
        return image

    @contextmanager
    def _turn(self, name: RemoteName, deadline: float) -> Iterator[None]:
        """One at a time under a name; the next finds what the first has fetched."""
        while True:
            with journal.lock(self._config.locks / f"pull-{_key(name)[:16]}", timeout=_LOOK) as held:
                if held:
                    yield
                    return
            cancellation.check()
            if time.monotonic() > deadline:
                raise BuildFailed(f"The build ran out of time while another one pulled {name}.", hint="Deploy again.")

    def _path(self, name: RemoteName) -> Path:
        return self._config.cache / "pulls" / f"{_key(name)}.json"

    def _read(self, name: RemoteName) -> _Note | None:
        try:
            document: dict[str, Any] = journal.read_json(self._path(name))
            note = _Note(image=Digest.parse(document["image"]), source=document["source"], asked_at=float(document["asked_at"]))
            self._store.layers_of(note.image)
        except (KeyError, TypeError, ValueError, ImageDamaged):  # nothing there, damaged, or collected: fetched anew
            return None
        return note

    def _write(self, name: RemoteName, note: _Note) -> None:
        self._path(name).parent.mkdir(parents=True, exist_ok=True)
        told = {"name": str(name), "image": note.image, "source": note.source, "asked_at": note.asked_at}
        journal.write_json(self._path(name), told)


def allowed(registries: Registries, text: str, *, mirrored: bool = True) -> RemoteName:
    """The name, if builds may have the image: TransferFailed: it is no name; NotAllowed: not from there. `mirrored`: a mirror may be asked."""
    try:
        name = RemoteName.parse(text)
    except ValueError as error:
        raise TransferFailed(f"{error}.", hint="An image is named HOST/NAME:TAG.") from None
    if not registries.allows(name):
        raise NotAllowed(
            f"Builds on this node may not take images from {name.repository}.",
            hint=f"Allowed: {', '.join(registries.allowed) or 'any registry but this machine itself'}. An admin sets SLIPWAY_REGISTRIES.",
        )
    asked = registries.asked(name) if mirrored else name
    if asked == name and not registries.are_named(name) and any(registries.is_inside(one) or _is_own(one) for one in _addresses(name.host)):
        what = f"Builds on this node may not take images from {name.repository}: that name leads to this machine or to an app on it."
        raise NotAllowed(what, hint="Name a registry elsewhere, or have an admin name it in SLIPWAY_REGISTRIES.")
    return name


def reach(registries: Registries, name: RemoteName, asked: RemoteName) -> Reach:
    """How far `asked` may lead us. A registry in a private network may keep its blobs there, and so may whom the operator speaks of.

    By a proxy that is in one, public registries are reached too; then it is the proxy that is led on.
    """
    if asked != name or registries.are_named(name):
        return Reach.ANYWHERE
    found = _addresses(name.host)
    public = bool(found) and all(ipaddress.ip_address(one).is_global for one in found)
    return Reach.PUBLIC if public and not proxy_ports() else Reach.OUTWARD


def _addresses(host: str) -> set[str]:
    """What a name leads to now; nothing where it leads nowhere, which whoever asks is told in the registry's client's words."""
    try:
        return {str(found[4][0]).partition("%")[0] for found in socket.getaddrinfo(bare_host(host), None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return set()


def _is_own(address: str) -> bool:
    """Whether an interface of this machine has it: only to such an address can one bind (ip(7))."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def not_had(name: RemoteName, failure: TransferFailed | ImageDamaged) -> TransferFailed | ImageDamaged:
    """The same failure, told of the name that people gave."""
    said = failure.what.partition(" could not be transferred. ")[2] or failure.what
    return type(failure)(f"The image {name} could not be had: {said}", hint=failure.hint)


def _key(name: RemoteName) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()
