"""Parse pushed manifests and indexes. The data is not trusted. Pure. Source:
github.com/opencontainers/image-spec, v1.1."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from portal.documents import parse_json
from portal.errors import RegistryRefused
from portal.registry.names import digest_of, hex_of

# bytes; the least that a registry must accept by the distribution specification
LARGEST = 4 * 2**20
MOST_LAYERS = 120
MOST_PARTS = 1000  # in an index
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEXES = {INDEX, "application/vnd.docker.distribution.manifest.list.v2+json"}
_MANIFESTS = {MANIFEST, "application/vnd.docker.distribution.manifest.v2+json"}
_CONFIGS = {
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
}
# image-spec, layer.md, "Non-Distributable Layers": a client may leave them where they are
_NOT_DISTRIBUTED = ("oci.image.layer.nondistributable.v1", "docker.image.rootfs.foreign.diff")
_LAYER = re.compile(
    r"application/vnd\.(?:oci\.image\.layer(?:\.nondistributable)?\.v1"
    r"|docker\.image\.rootfs\.(?:foreign\.)?diff)\.tar(?:[+.](?:gzip|zstd))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A reference to a blob or a manifest. `digest` is the hex, by SHA-256 or SHA-512."""

    media_type: str
    digest: str
    size: int
    system: str = ""  # the operating system of an index entry
    architecture: str = ""

    @property
    def is_distributed(self) -> bool:
        """Return False for a layer that a manifest may name without a push of its bytes."""
        return not self.media_type.removeprefix("application/vnd.").startswith(_NOT_DISTRIBUTED)

    def may_run_on(self, architecture: str) -> bool:
        """Return whether an entry of an index is for Linux on this machine, or has no platform."""
        return (self.system, self.architecture) in (("linux", architecture), ("", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A parsed manifest or index."""

    media_type: str
    artifact_type: str = ""
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = ()
    manifests: tuple[Descriptor, ...] = ()
    subject: str = ""  # hex
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_index(self) -> bool:
        return self.media_type in INDEXES

    @property
    def parts(self) -> tuple[Descriptor, ...]:
        """Return all parts of the manifest."""
        return (*((self.config,) if self.config else ()), *self.layers, *self.manifests)

    @property
    def is_runnable(self) -> bool:
        """Return True for an image with a file system, and False for a signature or similar."""
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
    """Parse a manifest. Raise MANIFEST_INVALID with the reason, or DIGEST_INVALID for a malformed
    digest."""
    try:
        document = parse_json(data)
        if not isinstance(document, dict) or document.get("schemaVersion") != 2:
            raise _invalid("It is not a manifest of schema version 2")
        kind = _text(
            document.get("mediaType") or content_type.partition(";")[0].strip() or MANIFEST
        )
        if content_type and content_type.partition(";")[0].strip() != kind:
            raise _invalid(
                f"Its media type is {kind[:100]}, but it was sent as {content_type[:100]}"
            )
        if kind not in INDEXES | _MANIFESTS:
            raise _invalid(f"The media type {kind[:100]!r} is not supported")
        parsed = _index(document, kind) if kind in INDEXES else _manifest(document, kind)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _invalid("It cannot be parsed") from None
    if len(parsed.layers) > MOST_LAYERS:
        raise _invalid(f"It has {len(parsed.layers)} layers. The maximum is {MOST_LAYERS}")
    if len(parsed.manifests) > MOST_PARTS:
        raise _invalid(f"It lists more than {MOST_PARTS} manifests")
    return parsed


def with_sha256(data: bytes, document: Document) -> bytes:
    """Return a manifest whose configuration and layers have the digests of `document`."""
    values = parse_json(data)
    if document.config is None or not isinstance(values, dict):
        raise _invalid("It is not the manifest of an image")
    values["config"]["digest"] = digest_of(document.config.digest)
    for layer, part in zip(values["layers"], document.layers, strict=True):
        layer["digest"] = digest_of(part.digest)
    return json.dumps(values, sort_keys=True, separators=(",", ":")).encode()


def check_platforms(index: Document, architecture: str) -> None:
    """Raise MANIFEST_INVALID if an index has images, but none for this machine.

    Attestations have the platform unknown/unknown, which does not count.
    """
    known = sorted(
        {
            f"{part.system}/{part.architecture}"
            for part in index.manifests
            if part.architecture and part.architecture != "unknown"
        }
    )
    if known:
        raise _invalid(
            f"It has no image for linux/{architecture}, the platform of this node. It has images"
            f" for {', '.join(known)[:200]}"
        )


def check_machine(configuration: bytes, architecture: str) -> None:
    """Raise MANIFEST_INVALID if the image is for another platform."""
    try:
        configuration_values = parse_json(configuration)
        system, meant = (
            configuration_values.get("os") or "linux",
            configuration_values.get("architecture") or architecture,
        )
    except (ValueError, AttributeError, RecursionError):
        raise _invalid("Its configuration cannot be parsed") from None
    if (system, meant) != ("linux", architecture):
        raise _invalid(
            f"The image is for {str(system)[:40]}/{str(meant)[:40]}, but this node is"
            f" linux/{architecture}"
        )


def _manifest(document: Mapping[str, Any], kind: str) -> Document:
    return Document(
        media_type=kind,
        artifact_type=_text(document.get("artifactType") or "")[:255],
        config=_part(document["config"]),
        layers=tuple(_part(layer) for layer in document["layers"]),
        subject=_subject(document),
        annotations=_annotations(document),
    )


def _index(document: Mapping[str, Any], kind: str) -> Document:
    return Document(
        media_type=kind,
        artifact_type=_text(document.get("artifactType") or "")[:255],
        manifests=tuple(_part(entry) for entry in document["manifests"]),
        subject=_subject(document),
        annotations=_annotations(document),
    )


def _part(descriptor: Mapping[str, Any]) -> Descriptor:
    platform = descriptor.get("platform") or {}
    size = descriptor["size"]
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 2**63:
        raise ValueError(size)
    return Descriptor(
        media_type=_text(descriptor["mediaType"])[:255],
        digest=hex_of(str(descriptor["digest"])),
        size=size,
        system=str(platform.get("os") or ""),
        architecture=str(platform.get("architecture") or ""),
    )


def _subject(document: Mapping[str, Any]) -> str:
    subject = document.get("subject")
    return _part(subject).digest if subject else ""


def _annotations(document: Mapping[str, Any]) -> dict[str, str]:
    annotations = document.get("annotations") or {}
    return {_text(name): _text(text) for name, text in annotations.items()}


def _text(value: object) -> str:
    """Return text that the database can store. Raise ValueError for NUL and lone surrogates."""
    text = str(value)
    if "\0" in text:
        raise ValueError("text has a NUL byte")
    text.encode()
    return text


def _invalid(what: str) -> RegistryRefused:
    return RegistryRefused("MANIFEST_INVALID", f"The manifest was refused. {what}.", status=400)
