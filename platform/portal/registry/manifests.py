"""Manifests and indexes as they are pushed, parsed without trust. Pure. Source: github.com/opencontainers/image-spec, v1.1."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from portal.documents import parse_json
from portal.errors import RegistryRefused
from portal.registry.names import hex_of

LARGEST = 4 * 2**20  # bytes; the least that the distribution spec asks a registry to take
MOST_LAYERS = 120
MOST_PARTS = 1000  # of an index
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEXES = {INDEX, "application/vnd.docker.distribution.manifest.list.v2+json"}
_MANIFESTS = {MANIFEST, "application/vnd.docker.distribution.manifest.v2+json"}
_CONFIGS = {"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"}
_LAYER = re.compile(r"application/vnd\.(?:oci\.image\.layer\.v1|docker\.image\.rootfs\.diff)\.tar(?:[+.](?:gzip|zstd))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A pointer to a blob or a manifest; `digest` is the hex."""

    media_type: str
    digest: str
    size: int
    system: str = ""  # of an index's entry
    architecture: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A parsed manifest or index."""

    media_type: str
    artifact_type: str = ""
    config: Part | None = None
    layers: tuple[Part, ...] = ()
    manifests: tuple[Part, ...] = ()
    subject: str = ""  # hex
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_index(self) -> bool:
        return self.media_type in _INDEXES

    @property
    def parts(self) -> tuple[Part, ...]:
        """What it consists of."""
        return (*((self.config,) if self.config else ()), *self.layers, *self.manifests)

    @property
    def is_runnable(self) -> bool:
        """Whether it is an image with a file system, not a signature or the like."""
        return (
            not self.is_index
            and not self.artifact_type
            and not self.subject
            and self.config is not None
            and self.config.media_type in _CONFIGS
            and bool(self.layers)
            and all(_LAYER.fullmatch(layer.media_type) for layer in self.layers)
        )


def parse(data: bytes, content_type: str = "") -> Document:
    """MANIFEST_INVALID says what is wrong; DIGEST_INVALID that a digest in it is none."""
    try:
        document = parse_json(data)
        if not isinstance(document, dict) or document.get("schemaVersion") != 2:
            raise _invalid("It is no manifest of schema version 2")
        kind = str(document.get("mediaType") or content_type.partition(";")[0].strip() or MANIFEST)
        if content_type and content_type.partition(";")[0].strip() != kind:
            raise _invalid(f"It says that it is {kind[:100]}, and was sent as {content_type[:100]}")
        if kind not in _INDEXES | _MANIFESTS:
            raise _invalid(f"The kind {kind[:100]!r} is not taken")
        parsed = _index(document, kind) if kind in _INDEXES else _manifest(document, kind)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _invalid("It cannot be read") from None
    if len(parsed.layers) > MOST_LAYERS:
        raise _invalid(f"It has {len(parsed.layers)} layers, and {MOST_LAYERS} are the most that can be run")
    if len(parsed.manifests) > MOST_PARTS:
        raise _invalid(f"It lists more than {MOST_PARTS} manifests")
    return parsed


def for_machine(index: Document, architecture: str) -> Part:
    """The image of an index that runs here. MANIFEST_INVALID: it has none."""
    for part in index.manifests:
        if part.system == "linux" and part.architecture == architecture:
            return part
    known = ", ".join(sorted({f"{part.system}/{part.architecture}" for part in index.manifests if part.architecture})) or "none"
    raise _invalid(f"It has no image for linux/{architecture}, which this machine is, but for {known[:200]}")


def check_machine(configuration: bytes, architecture: str) -> None:
    """MANIFEST_INVALID: the image is for another kind of machine."""
    try:
        told = parse_json(configuration)
        system, meant = told.get("os") or "linux", told.get("architecture") or architecture
    except (ValueError, AttributeError, RecursionError):
        raise _invalid("Its configuration cannot be read") from None
    if (system, meant) != ("linux", architecture):
        raise _invalid(f"The image is for {str(system)[:40]}/{str(meant)[:40]}, and this machine is linux/{architecture}")


def _manifest(document: Mapping[str, Any], kind: str) -> Document:
    return Document(
        media_type=kind,
        artifact_type=str(document.get("artifactType") or "")[:255],
        config=_part(document["config"]),
        layers=tuple(_part(one) for one in document["layers"]),
        subject=_subject(document),
        annotations=_annotations(document),
    )


def _index(document: Mapping[str, Any], kind: str) -> Document:
    return Document(
        media_type=kind,
        artifact_type=str(document.get("artifactType") or "")[:255],
        manifests=tuple(_part(one) for one in document["manifests"]),
        subject=_subject(document),
        annotations=_annotations(document),
    )


def _part(one: Mapping[str, Any]) -> Part:
    platform = one.get("platform") or {}
    size = one["size"]
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 2**63:
        raise ValueError(size)
    return Part(
        media_type=str(one["mediaType"])[:255],
        digest=hex_of(str(one["digest"])),
        size=size,
        system=str(platform.get("os") or ""),
        architecture=str(platform.get("architecture") or ""),
    )


def _subject(document: Mapping[str, Any]) -> str:
    subject = document.get("subject")
    return _part(subject).digest if subject else ""


def _annotations(document: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): str(text) for name, text in dict(document.get("annotations") or {}).items()}


def _invalid(what: str) -> RegistryRefused:
    return RegistryRefused("MANIFEST_INVALID", f"The manifest is not taken. {what}.", status=400)
