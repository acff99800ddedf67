"""Import an image that was pushed here or is in another registry: verify it, resolve its user, find
its processes.

Its layers stay unchanged and are shared like any others.
Only the configuration is written again, with the facts that an instance needs.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from runtime.builds.dockerfile.accounts import account
from runtime.builds.dockerfile.build import USER_LABEL, WEB_LABEL
from runtime.builds.dockerfile.image_files import reader
from runtime.builds.egress import check_registry
from runtime.builds.manifest import procfile
from runtime.config import NodeConfig
from runtime.confined.session import Confinement
from runtime.containers.command_line import NO_SHELL
from runtime.contract.quantities import Bytes
from runtime.errors import BadSource, ImageDamaged, TransferFailed
from runtime.images import manifest
from runtime.images.digest import Digest
from runtime.images.exchange.ownership import take_over
from runtime.images.exchange.pulls import allowed, pull_failed, reach
from runtime.images.exchange.registry_reference import Registries
from runtime.images.exchange.transfer import Access, Transfer
from runtime.images.exchange.verified_import import VerifiedImage, import_verified
from runtime.images.manifest import Descriptor, ImageConfig, Layer, Manifest
from runtime.images.platform_labels import without_platform_labels
from runtime.images.scratch import scratch
from runtime.images.store import Store
from runtime.images.untrusted_config import parse_untrusted
from runtime.network.policy import NetworkPolicy

PORT_LABEL = "slipway.port"  # the only port that the image declares with EXPOSE
_PROCESSES_LABEL = (  # of an image that some Slipway built: JSON, process type to shell line
    "slipway.processes"
)
_TYPES = {
    "application/vnd.docker.image.rootfs.diff.tar.gzip": manifest.LAYER_GZIP,
    "application/vnd.docker.image.rootfs.diff.tar.zstd": manifest.LAYER_ZSTD,
    "application/vnd.docker.image.rootfs.diff.tar": "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip": manifest.LAYER_GZIP,
    "application/vnd.oci.image.layer.nondistributable.v1.tar": (
        "application/vnd.oci.image.layer.v1.tar"
    ),
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip": manifest.LAYER_GZIP,
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd": manifest.LAYER_ZSTD,
}
_NOT_DISTRIBUTED = ("nondistributable", "foreign")  # in a layer's media type


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedImage:
    """An image whose parts the portal received, or that another image of the team already has."""

    build_id: int
    app: str
    name: str  # for messages: team/app:tag
    manifest: Digest
    received: Path  # a part is received/TEAM-HEX…
    team: int
    served: tuple[Path, ...]  # …or FOLDER/HEX
    most: Bytes  # the limit of its unpacked layers


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferredImage:
    """An image in another registry."""

    build_id: int
    app: str
    name: str  # HOST/NAME:TAG, in Docker's format
    access: (
        Access  # the team's own credentials; they are not for other teams, so they are not stored
    )
    most: Bytes  # the limit of its unpacked layers
    team: int  # the team whose limits apply to the download
    policy: NetworkPolicy = field(default_factory=NetworkPolicy)  # the team's


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedImage:
    """The imported image, for the store to write."""

    layers: tuple[Layer, ...]  # bottom first
    config: ImageConfig
    processes: dict[str, str]
    original: Digest


def import_image(
    config: NodeConfig, store: Store, image: PushedImage | ReferredImage, log: Callable[[str], None]
) -> ImportedImage:
    """Import an image; the caller holds a lease.

    ImageDamaged, BadSource and TransferFailed carry the reason.
    """
    if isinstance(image, PushedImage):
        log(f"Image {image.name}, {image.manifest}")
        adopted = adopt_pushed(config, store, image)
    else:
        adopted = _pull(config, store, image, log)
    size = Bytes(sum(layer.size for layer in adopted.layers))
    log(f"Checked {len(adopted.layers)} layer{'' if len(adopted.layers) == 1 else 's'}, {size}")
    if not adopted.layers:
        raise BadSource("The image is empty.", hint="Use an image that has a program.")
    processes = _processes(adopted.config)
    return ImportedImage(
        layers=tuple(
            replace(layer, media_type=_TYPES.get(layer.media_type, layer.media_type))
            for layer in adopted.layers
        ),
        config=_labelled(adopted, store, processes, log),
        processes=processes,
        original=adopted.digest,
    )


def adopt_pushed(config: NodeConfig, store: Store, image: PushedImage) -> VerifiedImage:
    """Move a pushed image into the store; the caller holds a lease.

    After a kill at any moment, the received parts are still in their place.
    Each part gets a second name here; its first name is removed with the release.
    """
    with scratch(config.images / "ingest") as space:

        def places_of(digest: Digest) -> tuple[Path, ...]:
            return (
                image.received / f"{image.team}-{digest.hex}",
                *(folder / digest.hex for folder in image.served),
            )

        def take(digest: Digest) -> Path:
            places = places_of(digest)
            if not (space / digest.hex).exists():
                take_over(digest, space, places, user=config.user)
            return space / digest.hex

        manifest = take(image.manifest)
        pointer = Descriptor(
            media_type=_kind(manifest), digest=image.manifest, size=manifest.stat().st_size
        )
        parts = _parts(manifest)
        for layer in parts.layers:
            _check_pushed(layer, places_of(layer.digest))
        for digest in (parts.config.digest, *(layer.digest for layer in parts.layers)):
            take(digest)
        return import_verified(store, space, pointer, most=image.most)


def _pull(
    config: NodeConfig, store: Store, image: ReferredImage, log: Callable[[str], None]
) -> VerifiedImage:
    """Pull an image.

    It is pulled again each time: a new deploy of a tag needs its present image, as far as the
    credentials allow.
    """
    registries = Registries.of(config)
    mirrored = not image.access.user  # a password is only for the registry that it was given for
    check_registry(image.policy, image.name)
    name = allowed(registries, image.name, mirrored=mirrored)
    asked = registries.pull_name(name) if mirrored else name
    access = replace(
        image.access, plain_http=registries.is_plain(asked), reach=reach(registries, name, asked)
    )
    log(
        f"Pulling {name}"
        + (f" from {asked.host}" if asked != name else "")
        + (f" as {access.user}" if access.user else "")
    )
    transfer = Transfer(
        config, store, time_limit=config.pull_timeout, team=image.team, progress=log
    )
    try:
        adopted = transfer.import_from(f"docker://{asked}", access, most=image.most)
    except (TransferFailed, ImageDamaged) as failure:
        raise pull_failed(name, failure) from None
    log(f"Pulled {adopted.digest}")
    return adopted


def _kind(path: Path) -> str:
    document = _json(path)
    return str(document.get("mediaType") or manifest.MANIFEST)


def _check_pushed(layer: Descriptor, places: tuple[Path, ...]) -> None:
    """Raise BadSource if a layer that clients do not push by default is missing."""
    if any(word in layer.media_type for word in _NOT_DISTRIBUTED) and not any(
        place.exists() for place in places
    ):
        raise BadSource(
            f"The layer {layer.digest} ({Bytes(layer.size)}) is missing. It is marked as not"
            " distributable, and the client has not pushed it.",
            hint="Let the client push it (`dockerd --allow-nondistributable-artifacts HOST`), or"
            " build the image on another base.",
        )


def _parts(path: Path) -> Manifest:
    document = _json(path)
    try:
        return manifest.parse_manifest(json.dumps(document).encode())
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BadSource(
            "The pushed data is not a valid image manifest.", hint="Push the image again."
        ) from None


def _json(path: Path) -> dict[str, object]:
    try:
        return parse_untrusted(path.read_bytes())
    except ValueError as error:
        raise BadSource(
            f"The pushed data is not a valid image manifest: {error}.", hint="Push the image again."
        ) from None


def _processes(config: ImageConfig) -> dict[str, str]:
    """Return the processes in the label of the Slipway that built it, or its ENTRYPOINT and CMD."""
    if label := config.labels.get(_PROCESSES_LABEL):
        return _declared(label)
    own = _own_command(config)
    if not own:
        raise BadSource(
            "The image has no command to run.", hint="Add a CMD or ENTRYPOINT to its Dockerfile."
        )
    return {"web": own}


def _declared(text: str) -> dict[str, str]:
    """Return the processes of a label.

    The rules of a Procfile apply, since anybody may write a label.
    """
    try:
        lines = [
            f"{name}: {command}"
            for name, command in dict(json.loads(text)).items()
            if "\n" not in f"{name}{command}"
        ]
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise BadSource(
            f"The label {_PROCESSES_LABEL} of the image is not a valid list of processes.",
            hint="Remove the label.",
        ) from None
    return procfile.parse("\n".join(lines))


def _own_command(config: ImageConfig) -> str:
    return shlex.join((*config.entrypoint, *config.command))


class _User:
    """The origin of the user name, for error messages."""

    def wrong(self, what: str, *, hint: str) -> BadSource:
        return BadSource(f"The image's user: {what}", hint=hint)


def _labelled(
    adopted: VerifiedImage, store: Store, processes: dict[str, str], log: Callable[[str], None]
) -> ImageConfig:
    config = adopted.config
    paths = tuple(store.unpacked(layer) for layer in reversed(adopted.layers))
    with Confinement().session() as helper:
        user = account(config.user or "0", reader(paths, helper), _User())
    labels = {
        USER_LABEL: f"{user.uid}:{user.gid}",
        _PROCESSES_LABEL: json.dumps(processes, sort_keys=True),
    }
    if processes.get("web") == _own_command(config):
        labels[WEB_LABEL] = _own_command(config)
    ports = [
        port.partition("/")[0]
        for port in config.exposed_ports
        if not port.endswith(("/udp", "/sctp"))
    ]
    if len(ports) == 1:
        labels[PORT_LABEL] = ports[0]
        log(f"The image listens on port {ports[0]} (its EXPOSE); $PORT is the same")
    if NO_SHELL in config.labels:
        labels[NO_SHELL] = "true"  # of an image that some Slipway built without a shell
    own = without_platform_labels(config)
    return replace(own, labels={**own.labels, **labels})
