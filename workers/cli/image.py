"""The verbs of `manage.py image`. Each returns an answer that prints as a table or as JSON."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runtime.contract.quantities import Bytes
from runtime.converge.container_spec import source_of
from runtime.engines.node import NodeEngine
from runtime.errors import ImageDamaged, NoSuchImage
from runtime.images.catalogue import Catalogue
from runtime.images.collect import is_of_platform, is_of_stack
from runtime.images.digest import Digest
from runtime.images.disk import disk_of
from runtime.images.exchange.transfer import Access, Transfer
from runtime.images.layers import diff as difference
from runtime.images.layers.compression import Compression
from runtime.images.reference import Tag
from runtime.images.verify import repair as repair_layer
from runtime.images.verify import verify as verify_store
from workers import node
from workers.cli.answer import Answer
from workers.tasks import garbage_collection


def ls(**_: Any) -> Answer:
    listed = _catalogue().images()
    total = Bytes(sum(image.own for image in listed))
    return Answer(
        columns=("NAME", "DIGEST", "LAYERS", "OWN", "SHARED", "USED"),
        rows=[
            (
                image.names[0] if image.names else "-",
                image.digest.hex[:12],
                image.layers,
                image.own,
                image.shared,
                _ago(image.used_at),
            )
            for image in listed
        ],
        sentence=f"{len(listed)} images; {total} belong to only one of them.",
        value=[
            {
                "digest": image.digest,
                "names": list(image.names),
                "layers": image.layers,
                "own_bytes": int(image.own),
                "shared_bytes": int(image.shared),
                "used_at": image.used_at,
            }
            for image in listed
        ],
    )


def history(*, image: str, **_: Any) -> Answer:
    catalogue = _catalogue()
    steps = catalogue.history(catalogue.find(image))
    return Answer(
        columns=("LAYER", "CREATED BY", "SIZE", "UNPACKED", "SHARED WITH"),
        rows=[
            (
                layer.digest.hex[:12],
                _short(layer.created_by or "-", 60),
                layer.size,
                layer.unpacked,
                _short(", ".join(layer.shared_with) or "-", 60),
            )
            for layer in steps
        ],
        value=[
            {
                "digest": layer.digest,
                "diff_id": layer.diff_id,
                "created_by": layer.created_by,
                "bytes": int(layer.size),
                "unpacked_bytes": int(layer.unpacked),
                "shared_with": list(layer.shared_with),
            }
            for layer in steps
        ],
    )


def inspect(*, image: str, **_: Any) -> Answer:
    catalogue, store = _catalogue(), _engine().images
    digest = catalogue.find(image)
    manifest = store.manifest(digest)
    description = {
        "digest": digest,
        "names": list(catalogue.inventory.images[digest].names),
        "manifest": json.loads(store.blob(digest).read_bytes()),
        "config": json.loads(store.blob(manifest.config.digest).read_bytes()),
    }
    return Answer(sentence=json.dumps(description, indent=2, ensure_ascii=False), value=description)


def diff(*, before: str, after: str, **_: Any) -> Answer:
    """Compare two images, or with one name, an instance's files with its image."""
    if not after:
        written = _engine().written(_instance(before))
        rest = "" if written.whole else "\n… and more."
        return _changes(written.changes, f"{before} changed no files.", rest=rest)
    catalogue, store = _catalogue(), _engine().images
    with store.lease():
        stacks = [store.image(catalogue.find(image)).layers for image in (before, after)]
        changes = store.reader.compare(*stacks)
    return _changes(changes, "Both images contain the same files.")


def commit(*, instance: str, name: str, **_: Any) -> Answer:
    engine, own = _engine(), _own_name(name)
    with engine.images.lease():
        digest = engine.commit(_instance(instance))
        engine.images.tag(own, digest)
        layer = engine.images.layers_of(digest)[-1]
    size = Bytes(layer.size)
    value = {"name": own, "digest": digest, "layer": layer.digest, "layer_bytes": layer.size}
    return Answer(
        sentence=f"{own} is {digest}; the changes of {instance} take {size}.", value=value
    )


def tag(*, image: str, name: str, **_: Any) -> Answer:
    digest = _catalogue().find(image)
    _engine().images.tag(_own_name(name), digest)
    return Answer(sentence=f"{name} is {digest}", value={"name": name, "digest": digest})


def rm(*, name: str, **_: Any) -> Answer:
    images = _engine().images
    digest = images.find(_own_name(name))
    if digest is None:
        raise NoSuchImage(
            f"There is no name {name}.",
            hint="`manage.py image ls` lists names; `prune` removes images without one.",
        )
    images.untag(name)
    return Answer(sentence=f"Removed the name {name}.", value={"name": name, "digest": digest})


def save(*, image: str, file: str, docker: bool, **_: Any) -> Answer:
    digest, path = _catalogue().find(image), Path(file)
    if path.exists():
        raise NoSuchImage(
            f"The file {path} exists already.", hint="Choose another name, or remove the file."
        )
    name = (
        image
        if re.fullmatch(r"[a-z0-9][a-z0-9._/-]*:[\w.-]+", image)
        else f"slipway/image:{digest.hex[:12]}"
    )
    target = (
        f"docker-archive:{path.absolute()}:{name}"
        if docker
        else f"oci-archive:{path.absolute()}:{name}"
    )
    _transfer().send(digest, target, docker=docker)
    size = Bytes(path.stat().st_size)
    return Answer(
        sentence=f"Wrote {name} to {path}, {size}.",
        value={"file": str(path), "digest": digest, "bytes": int(size)},
    )


def load(*, file: str, name: str, docker: bool, **_: Any) -> Answer:
    path = Path(file).absolute()
    if not path.is_file():
        raise NoSuchImage(
            f"There is no file {path}.",
            hint="Give an archive that `save`, `docker save` or `podman save` wrote.",
        )
    return _import(
        f"{'docker' if docker else 'oci'}-archive:{path}", _own_name(name), Access(), 1800.0
    )


def pull(
    *,
    reference: str,
    name: str,
    user: str,
    plain_http: bool,
    timeout: float,
    password: str = "",
    **_: Any,
) -> Answer:
    own = _own_name(name or reference)
    return _import(
        f"docker://{reference}",
        own,
        Access(user=user, password=password, plain_http=plain_http),
        timeout,
    )


def push(
    *,
    image: str,
    reference: str,
    gzip: bool,
    docker: bool,
    user: str,
    plain_http: bool,
    timeout: float,
    password: str = "",
    **_: Any,
) -> Answer:
    digest = _catalogue().find(image)
    compression = Compression.GZIP if gzip else None
    access = Access(user=user, password=password, plain_http=plain_http)
    _transfer(timeout).send(
        digest, f"docker://{reference}", access, compression=compression, docker=docker
    )
    return Answer(
        sentence=f"Pushed {digest} as {reference}.",
        value={"reference": reference, "digest": digest},
    )


def prune(*, dry_run: bool, **_: Any) -> Answer:
    engine = _engine()
    if dry_run:
        preview, size = engine.preview_garbage(garbage_collection.kept_images)
        return Answer(
            sentence=f"Would {preview.describe()}: {size}.",
            value={"bytes": int(size), "images": list(preview.images)},
        )
    done = garbage_collection.collect(engine)
    if done is None:
        return Answer(
            sentence="Another garbage collection is running; nothing was done.",
            value=None,
            failed=True,
        )
    result = {
        "images": done.images,
        "layers": done.layers,
        "blobs": done.blobs,
        "notes": done.notes,
        "freed_bytes": done.freed,
    }
    return Answer(sentence=f"{done.describe()}.", value=result)


def df(**_: Any) -> Answer:
    engine = _engine()
    size = engine.preview_garbage(garbage_collection.kept_images)[1]
    uses, disk = Catalogue(engine.config, engine.images).disk_use(size), disk_of(engine.config)
    return Answer(
        columns=("WHAT", "NUMBER", "SIZE"),
        rows=[(use.what, use.count, use.size) for use in uses],
        sentence=f"The disk is {disk.describe()}.",
        value={
            "uses": [
                {"what": use.what.strip(), "count": use.count, "bytes": int(use.size)}
                for use in uses
            ],
            "disk": {"used_bytes": int(disk.used), "available_bytes": int(disk.available)},
        },
    )


def verify(*, repair: bool, **_: Any) -> Answer:
    engine, lines, is_intact = _engine(), [], True
    for damage in verify_store(engine.config, engine.images):
        lines.append(damage.describe())
        repaired = False
        if repair and damage.layer is not None:
            try:
                lines.append(repair_layer(engine.config, engine.images, damage))
                repaired = True
            except ImageDamaged as failure:
                lines.append(failure.explain())
        is_intact = is_intact and repaired
    return Answer(
        sentence="\n".join(lines) or "The content of every blob and layer matches its digest.",
        value=lines,
        failed=not is_intact,
    )


def _changes(changes: Sequence[difference.Change], none: str, *, rest: str = "") -> Answer:
    return Answer(
        sentence="\n".join(f"{change.kind} {change.text}" for change in changes) + rest or none,
        value=[
            {"kind": change.kind.value, "path": change.text, "bytes": change.size}
            for change in changes
        ],
    )


def _instance(name: str) -> str:
    """Return an instance's id, given the id or the name in logs (`web.1a2b3c4d`)."""
    running = {
        container.id: source_of(container.id, container.spec.labels["process"])
        for container in _engine().instances()
    }
    found = [known for known, called in running.items() if name in (known, called)]
    if len(found) != 1:
        what = (
            f"There is no instance {name}." if not found else f"{name} may be {' or '.join(found)}."
        )
        raise NoSuchImage(
            what,
            hint=(
                f"There are {', '.join(running)}." if running else "No instance runs on this node."
            ),
        )
    return found[0]


def _engine() -> NodeEngine:
    return node.engine()


def _catalogue() -> Catalogue:
    return Catalogue(_engine().config, _engine().images)


def _transfer(time_limit: float = 1800.0) -> Transfer:
    return Transfer(_engine().config, _engine().images, time_limit=time_limit)


def _import(source: str, name: str, access: Access, time_limit: float) -> Answer:
    images = _engine().images
    with images.lease():
        digest: Digest = _transfer(time_limit).import_from(source, access).digest
        images.tag(name, digest)
    return Answer(sentence=f"{name} is {digest}", value={"name": name, "digest": digest})


def _own_name(text: str) -> str:
    """Return the name if people may set or remove it."""
    try:
        name = Tag.parse(text)
    except ValueError as error:
        raise NoSuchImage(f"{error}.", hint="For example tools/python:3.13.") from None
    if is_of_platform(name) or is_of_stack(name):
        raise NoSuchImage(
            f"{name} is a name that only the platform sets.",
            hint="Such names belong to releases, builds and stacks.",
        )
    return name


def _ago(moment: float) -> str:
    seconds = max(time.time() - moment, 0)
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit} ago"
    return "just now"


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
