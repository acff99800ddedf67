"""Versions of the layers that were built from a definition. Builds use the newest.

A version is identified by the digest of its content, so a new build without newer packages gives
the same version.
Records are among the notes of the build cache, where the collector finds them.
It removes a version that was not used for 60 days, unless an image uses it.
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
    """One layer that was built from a definition."""

    name: str  # of the stack or language
    # 64 hex digits of the definition, and for a language also of the stack's version below it
    identity: str
    diff_id: Digest
    built_at: float  # Unix seconds
    used_at: float
    environment: Mapping[str, str] = field(
        default_factory=dict
    )  # the variables that an image of a registry sets in addition to ours
    record: Path

    @property
    def label(self) -> str:
        """Return the name that people see and type: `20261125-3f9c2a1b0d4e`."""
        return f"{time.strftime('%Y%m%d', time.gmtime(self.built_at))}-{self.diff_id.hex[:12]}"


def identity_of(definition: Stack | Runtime | Bare, base: Digest | None = None) -> str:
    """Return the identity of a definition on a base.

    For a language, `base` is the stack's version, which decides the files of its layer.
    For a bare layer, `base` is the origin of its files.
    """
    own = key(definition, platform.machine())
    return own if base is None else hashlib.sha256(f"{own} on {base}".encode()).hexdigest()


def versions(config: NodeConfig) -> list[Version]:
    """Return all recorded versions, newest first."""
    return sorted(_read(config), key=lambda version: version.built_at, reverse=True)


def newest(config: NodeConfig, store: Store, identity: str) -> tuple[Version, Layer] | None:
    """Return the version that builds use now, and mark it as used.

    A version without a layer in the store is ignored.
    """
    for version in versions(config):
        if version.identity == identity and (layer := store.layer(version.diff_id)) is not None:
            mark(version.record)
            return version, layer
    return None


def record(
    config: NodeConfig,
    name: str,
    identity: str,
    layer: Layer,
    environment: Mapping[str, str],
    *,
    now: float,
) -> Version:
    """Record that a layer was built.

    If the same layer is built again, it becomes the newest one.
    """
    path = (
        config.cache
        / "stacks"
        / f"{hashlib.sha256(f'{identity} {layer.diff_id}'.encode()).hexdigest()}.json"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "name": name,
        "identity": identity,
        "diff_id": layer.diff_id,
        "built_at": now,
        "environment": dict(environment),
    }
    journal.write_json(path, record)
    return Version(
        name=name,
        identity=identity,
        diff_id=layer.diff_id,
        built_at=now,
        used_at=now,
        environment=dict(environment),
        record=path,
    )


def _read(config: NodeConfig) -> Iterator[Version]:
    for path in (config.cache / "stacks").glob("*.json"):
        note: dict[str, Any] = read_note(path) or {}
        if {"name", "identity", "diff_id", "built_at"} <= note.keys():
            try:
                used_at = path.stat().st_mtime
            except FileNotFoundError:  # removed by the collector in the meantime
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
