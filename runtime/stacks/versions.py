"""What was built under a definition, one version beside the other, and which of them builds take: the newest.

A version is told by the digest of what is in it, so building again without newer packages gives the same version. Records lie among
the notes of the build cache, where the collector finds them: a version nobody used for 60 days goes, unless an image stands on it.
"""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime import journal
from runtime.config import NodeConfig
from runtime.images.digest import Digest
from runtime.images.inventory import read_note
from runtime.images.manifest import Layer
from runtime.images.store import Store
from runtime.images.use import mark
from runtime.stacks.stack import Bare, Runtime, Stack, key


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One layer that came of a definition."""

    name: str  # of the stack or language
    identity: str  # 64 hex digits: of the definition, and for a language of the stack's version below it
    diff_id: Digest
    built_at: float  # Unix seconds
    used_at: float
    environment: Mapping[str, str] = field(default_factory=dict)  # what an image of a registry sets beside ours
    record: Path

    @property
    def label(self) -> str:
        """What people see and type: `20261125-3f9c2a1b0d4e`."""
        return f"{time.strftime('%Y%m%d', time.gmtime(self.built_at))}-{self.diff_id.hex[:12]}"


def identity_of(definition: Stack | Runtime | Bare, base: Digest | None = None) -> str:
    """`base`: what a language was made for, which decides what of it is a difference; of a bare layer, what its files are of."""
    own = key(definition, platform.machine())
    return own if base is None else hashlib.sha256(f"{own} on {base}".encode()).hexdigest()


def versions(config: NodeConfig) -> list[Version]:
    """All that are recorded, newest first."""
    return sorted(_read(config), key=lambda one: one.built_at, reverse=True)


def newest(config: NodeConfig, store: Store, identity: str) -> tuple[Version, Layer] | None:
    """What builds take now, marked as used; one whose layer the store lost counts as never built."""
    for one in versions(config):
        if one.identity == identity and (layer := store.layer(one.diff_id)) is not None:
            mark(one.record)
            return one, layer
    return None


def record(config: NodeConfig, name: str, identity: str, layer: Layer, environment: Mapping[str, str], *, now: float) -> Version:
    """Note that a layer was built; the same layer again becomes the newest once more."""
    path = config.cache / "stacks" / f"{hashlib.sha256(f'{identity} {layer.diff_id}'.encode()).hexdigest()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {"name": name, "identity": identity, "diff_id": layer.diff_id, "built_at": now, "environment": dict(environment)}
    journal.write_json(path, told)
    return Version(
        name=name, identity=identity, diff_id=layer.diff_id, built_at=now, used_at=now, environment=dict(environment), record=path
    )


def _read(config: NodeConfig) -> Iterator[Version]:
    for path in (config.cache / "stacks").glob("*.json"):
        note: dict[str, Any] = read_note(path) or {}
        if {"name", "identity", "diff_id", "built_at"} <= note.keys():
            try:
                used_at = path.stat().st_mtime
            except FileNotFoundError:  # collected meanwhile
                continue
            yield Version(
                name=note["name"],
                identity=note["identity"],
                diff_id=Digest(note["diff_id"]),
                built_at=note["built_at"],
                used_at=used_at,
                environment=note.get("environment") or {},
                record=path,
            )
