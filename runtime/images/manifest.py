"""The three JSON documents of an OCI image: index, manifest, configuration.

Pure: values to bytes and back.

Bytes are deterministic (sorted keys, no time of creation), so the same layers and configuration
have the same digest. Source: github.com/opencontainers/image-spec, v1.1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runtime.errors import ImageDamaged
from runtime.images.digest import Digest

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
REFERENCE_NAME = "org.opencontainers.image.ref.name"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # uname(2) to Go's names, as in the spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer: `digest` and `size` of the compressed blob, `diff_id` of the tar inside it."""

    digest: Digest
    diff_id: Digest
    size: int  # bytes, compressed
    media_type: str = LAYER_ZSTD


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcheck:
    """The health check of an image (moby's image-spec, "Healthcheck").

    Times in nanoseconds, 0: default.
    """

    test: tuple[str, ...]  # ("NONE",), ("CMD", …) or ("CMD-SHELL", line)
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryStep:
    """One line of an image's history (config.md, "history"), without time for a stable digest."""

    created_by: str = ""
    empty: bool = False  # it changed only the configuration, and made no layer


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """The configuration for running an image (image-spec, config.md)."""

    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: str = "/"
    user: str = "1000:1000"
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    exposed_ports: tuple[str, ...] = ()  # 80/tcp
    volumes: tuple[str, ...] = ()
    stop_signal: str = ""
    healthcheck: Healthcheck | None = None
    shell: tuple[str, ...] = ()  # for shell forms in a Dockerfile; () is /bin/sh -c
    on_build: tuple[str, ...] = ()  # instructions for a Dockerfile that starts from this image
    author: str = ""
    history: tuple[HistoryStep, ...] = ()  # first step first; () if unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A typed pointer to a blob."""

    media_type: str
    digest: Digest
    size: int

    def document(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A parsed manifest."""

    config: Descriptor
    layers: tuple[Descriptor, ...]  # bottom first
    annotations: Mapping[str, str]


def render_config(config: ImageConfig, diff_ids: Sequence[Digest], *, machine: str) -> bytes:
    """Return the configuration blob. `machine` is as in uname(2), `diff_ids` are bottom first."""
    return _bytes(
        {
            "architecture": architecture(machine),
            "os": "linux",
            "config": {
                "User": config.user,
                "Env": [f"{name}={value}" for name, value in sorted(config.environment.items())],
                "Entrypoint": list(config.entrypoint) or None,
                "Cmd": list(config.command) or None,
                "WorkingDir": config.working_directory,
                "Labels": dict(config.labels),
                **_rare(config),
            },
            **({"author": config.author} if config.author else {}),
            **({"history": [_step(step) for step in config.history]} if config.history else {}),
            "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
        }
    )


def architecture(machine: str) -> str:
    """Return the image-spec's name of a machine that uname(2) reports."""
    return _ARCHITECTURES.get(machine, machine)


def parse_config(data: bytes) -> tuple[ImageConfig, tuple[Digest, ...]]:
    """Return the configuration and the diff IDs, bottom first. Raises ValueError or KeyError."""
    document = json.loads(data)
    inner = document.get("config") or {}
    config = ImageConfig(
        environment=dict(line.split("=", 1) for line in inner.get("Env") or ()),
        working_directory=inner.get("WorkingDir") or "/",
        user=inner.get("User") or "0:0",
        entrypoint=tuple(inner.get("Entrypoint") or ()),
        command=tuple(inner.get("Cmd") or ()),
        labels=inner.get("Labels") or {},
        exposed_ports=tuple(sorted(inner.get("ExposedPorts") or ())),
        volumes=tuple(sorted(inner.get("Volumes") or ())),
        stop_signal=inner.get("StopSignal") or "",
        healthcheck=_healthcheck(inner.get("Healthcheck")),
        shell=tuple(inner.get("Shell") or ()),
        on_build=tuple(inner.get("OnBuild") or ()),
        author=document.get("author") or "",
        history=tuple(_parsed_step(entry) for entry in document.get("history") or ()),
    )
    return config, tuple(Digest.parse(text) for text in document["rootfs"]["diff_ids"])


def render_manifest(
    config: Descriptor, layers: Sequence[Layer], annotations: Mapping[str, str]
) -> bytes:
    """Return the manifest blob. `layers` are bottom first."""
    described = [
        Descriptor(media_type=layer.media_type, digest=layer.digest, size=layer.size).document()
        for layer in layers
    ]
    return _bytes(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.document(),
            "layers": described,
            **({"annotations": dict(annotations)} if annotations else {}),
        }
    )


def render_copy(document: Manifest, layers: Sequence[Descriptor]) -> bytes:
    """Return the manifest of an image with other layers, bottom first, of the same content."""
    return _bytes(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": document.config.document(),
            "layers": [layer.document() for layer in layers],
            **({"annotations": dict(document.annotations)} if document.annotations else {}),
        }
    )


def parse_manifest(data: bytes) -> Manifest:
    """Parse a manifest. Raises ValueError or KeyError if it is not one."""
    document = json.loads(data)
    return Manifest(
        config=_descriptor(document["config"]),
        layers=tuple(_descriptor(layer) for layer in document["layers"]),
        annotations=document.get("annotations") or {},
    )


def render_index(named: Mapping[str, Descriptor], unnamed: Sequence[Descriptor]) -> bytes:
    """Return index.json: every image of the layout, with its reference name if it has one."""
    entries = [
        {**image.document(), "annotations": {REFERENCE_NAME: name}}
        for name, image in sorted(named.items())
    ]
    entries += [image.document() for image in unnamed]
    return _bytes({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})


def parse_index(data: bytes) -> tuple[dict[str, Descriptor], list[Descriptor]]:
    """Return the images with names, and those without."""
    named: dict[str, Descriptor] = {}
    unnamed: list[Descriptor] = []
    for entry in json.loads(data)["manifests"]:
        if name := (entry.get("annotations") or {}).get(REFERENCE_NAME):
            named[name] = _descriptor(entry)
        else:
            unnamed.append(_descriptor(entry))
    return named, unnamed


_TIMES = {
    "Interval": "interval",
    "Timeout": "timeout",
    "StartPeriod": "start_period",
    "StartInterval": "start_interval",
}


def pair_layers(document: Manifest, diff_ids: Sequence[Digest]) -> tuple[Layer, ...]:
    """Return the layers of a manifest, bottom first.

    Raises ImageDamaged if the configuration has more or fewer.
    """
    if len(document.layers) != len(diff_ids):
        raise ImageDamaged(
            f"The image has {len(document.layers)} layers and {len(diff_ids)} diff IDs.",
            hint="Import it again from its source.",
        )
    pairs = zip(document.layers, diff_ids, strict=True)
    return tuple(
        Layer(digest=blob.digest, diff_id=diff_id, size=blob.size, media_type=blob.media_type)
        for blob, diff_id in pairs
    )


def _rare(config: ImageConfig) -> dict[str, Any]:
    """Return the rarely used fields.

    They are left out if empty, so that other images keep their digest.
    """
    document: dict[str, Any] = {}
    if config.exposed_ports:
        document["ExposedPorts"] = {port: {} for port in config.exposed_ports}
    if config.volumes:
        document["Volumes"] = {path: {} for path in config.volumes}
    if config.stop_signal:
        document["StopSignal"] = config.stop_signal
    if config.shell:
        document["Shell"] = list(config.shell)
    if config.on_build:
        document["OnBuild"] = list(config.on_build)
    if check := config.healthcheck:
        times = {key: value for key, name in _TIMES.items() if (value := getattr(check, name))}
        document["Healthcheck"] = {
            "Test": list(check.test),
            **times,
            **({"Retries": check.retries} if check.retries else {}),
        }
    return document


def _healthcheck(document: Mapping[str, Any] | None) -> Healthcheck | None:
    if not document or not document.get("Test"):
        return None
    times = {name: int(document.get(key) or 0) for key, name in _TIMES.items()}
    return Healthcheck(
        test=tuple(document["Test"]), retries=int(document.get("Retries") or 0), **times
    )


def _step(step: HistoryStep) -> dict[str, Any]:
    return {
        **({"created_by": step.created_by} if step.created_by else {}),
        **({"empty_layer": True} if step.empty else {}),
    }


def _parsed_step(entry: Mapping[str, Any]) -> HistoryStep:
    return HistoryStep(
        created_by=str(entry.get("created_by") or entry.get("comment") or ""),
        empty=bool(entry.get("empty_layer")),
    )


def _descriptor(document: Mapping[str, Any]) -> Descriptor:
    return Descriptor(
        media_type=document["mediaType"],
        digest=Digest.parse(document["digest"]),
        size=int(document["size"]),
    )


def _bytes(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
