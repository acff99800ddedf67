"""The verbs of `manage.py image`, each an answer that prints as a table or as JSON."""

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
            (image.names[0] if image.names else "-", image.digest.hex[:12], image.layers, image.own, image.shared, _ago(image.used_at))
            for image in listed
        ],
        sentence=f"{len(listed)} images; {total} are in one of them only.",
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
    stories = catalogue.history(catalogue.find(image))
    return Answer(
        columns=("LAYER", "CREATED BY", "SIZE", "UNPACKED", "SHARED WITH"),
        rows=[
            (one.digest.hex[:12], _short(one.created_by or "-", 60), one.size, one.unpacked, _short(", ".join(one.shared_with) or "-", 60))
            for one in stories
        ],
        value=[
            {
                "digest": one.digest,
                "diff_id": one.diff_id,
                "created_by": one.created_by,
                "bytes": int(one.size),
                "unpacked_bytes": int(one.unpacked),
                "shared_with": list(one.shared_with),
            }
            for one in stories
        ],
    )


def inspect(*, image: str, **_: Any) -> Answer:
    catalogue, store = _catalogue(), _engine().images
    digest = catalogue.find(image)
    manifest = store.manifest(digest)
    told = {
        "digest": digest,
        "names": list(catalogue.inventory.images[digest].names),
        "manifest": json.loads(store.blob(digest).read_bytes()),
        "config": json.loads(store.blob(manifest.config.digest).read_bytes()),
    }
    return Answer(sentence=json.dumps(told, indent=2, ensure_ascii=False), value=told)


def diff(*, before: str, after: str, **_: Any) -> Answer:
    """From image to image; of one name alone, from an instance's image to what it wrote."""
    if not after:
        told = _engine().written(_instance(before))
        rest = "" if told.whole else "\n… and more."
        return _changes(told.changes, f"{before} wrote nothing.", rest=rest)
    catalogue, store = _catalogue(), _engine().images
    with store.lease():
        stacks = [store.image(catalogue.find(one)).layers for one in (before, after)]
        changes = store.compare(*stacks)
    return _changes(changes, "They hold the same files.")


def commit(*, instance: str, name: str, **_: Any) -> Answer:
    engine, own = _engine(), _own_name(name)
    with engine.images.lease():
        digest = engine.commit(_instance(instance))
        engine.images.tag(own, digest)
        layer = engine.images.layers_of(digest)[-1]
    size = Bytes(layer.size)
    value = {"name": own, "digest": digest, "layer": layer.digest, "layer_bytes": layer.size}
    return Answer(sentence=f"{own} is {digest}; what {instance} wrote takes {size}.", value=value)


def tag(*, image: str, name: str, **_: Any) -> Answer:
    digest = _catalogue().find(image)
    _engine().images.tag(_own_name(name), digest)
    return Answer(sentence=f"{name} is {digest}", value={"name": name, "digest": digest})


def rm(*, name: str, **_: Any) -> Answer:
    images = _engine().images
    digest = images.find(_own_name(name))
    if digest is None:
        raise NoSuchImage(f"There is no name {name}.", hint="`manage.py image ls` lists names; `prune` removes what has none.")
    images.untag(name)
    return Answer(sentence=f"{name} is no name any more.", value={"name": name, "digest": digest})


def save(*, image: str, file: str, docker: bool, **_: Any) -> Answer:
    digest, path = _catalogue().find(image), Path(file)
    if path.exists():
        raise NoSuchImage(f"There is a file {path} already.", hint="Name another, or remove it.")
    name = image if re.fullmatch(r"[a-z0-9][a-z0-9._/-]*:[\w.-]+", image) else f"slipway/image:{digest.hex[:12]}"
    target = f"docker-archive:{path.absolute()}:{name}" if docker else f"oci-archive:{path.absolute()}:{name}"
    _transfer().send(digest, target, docker=docker)
    size = Bytes(path.stat().st_size)
    return Answer(sentence=f"Wrote {name} to {path}, {size}.", value={"file": str(path), "digest": digest, "bytes": int(size)})


def load(*, file: str, name: str, docker: bool, **_: Any) -> Answer:
    path = Path(file).absolute()
    if not path.is_file():
        raise NoSuchImage(f"There is no file {path}.", hint="Name an archive that `save`, `docker save` or `podman save` wrote.")
    return _bring(f"{'docker' if docker else 'oci'}-archive:{path}", _own_name(name), Access(), 1800.0)


def pull(*, reference: str, name: str, user: str, plain_http: bool, timeout: float, password: str = "", **_: Any) -> Answer:
    own = _own_name(name or reference)
    return _bring(f"docker://{reference}", own, Access(user=user, password=password, plain_http=plain_http), timeout)


def push(
    *, image: str, reference: str, gzip: bool, docker: bool, user: str, plain_http: bool, timeout: float, password: str = "", **_: Any
) -> Answer:
    digest = _catalogue().find(image)
    compression = Compression.GZIP if gzip else None
    access = Access(user=user, password=password, plain_http=plain_http)
    _transfer(timeout).send(digest, f"docker://{reference}", access, compression=compression, docker=docker)
    return Answer(sentence=f"Pushed {digest} as {reference}.", value={"reference": reference, "digest": digest})


def prune(*, dry_run: bool, **_: Any) -> Answer:
    engine = _engine()
    if dry_run:
        preview, size = engine.preview_garbage(garbage_collection.kept)
        return Answer(sentence=f"Would {preview.describe()}: {size}.", value={"bytes": int(size), "images": list(preview.images)})
    done = garbage_collection.collect(engine)
    if done is None:
        return Answer(sentence="Another collection is under way; nothing was done.", value=None, failed=True)
    told = {"images": done.images, "layers": done.layers, "blobs": done.blobs, "notes": done.notes, "freed_bytes": done.freed}
    return Answer(sentence=f"{done.describe()}.", value=told)


def df(**_: Any) -> Answer:
    engine = _engine()
    size = engine.preview_garbage(garbage_collection.kept)[1]
    uses, disk = Catalogue(engine.config, engine.images).disk_use(size), disk_of(engine.config)
    return Answer(
        columns=("WHAT", "NUMBER", "SIZE"),
        rows=[(use.what, use.count, use.size) for use in uses],
        sentence=f"The disk is {disk.describe()}.",
        value={
            "uses": [{"what": use.what.strip(), "count": use.count, "bytes": int(use.size)} for use in uses],
            "disk": {"used_bytes": int(disk.used), "available_bytes": int(disk.available)},
        },
    )


def verify(*, repair: bool, **_: Any) -> Answer:
    engine, said, sound = _engine(), [], True
    for damage in verify_store(engine.config, engine.images):
        said.append(damage.describe())
        repaired = False
        if repair and damage.layer is not None:
            try:
                said.append(repair_layer(engine.config, engine.images, damage))
                repaired = True
            except ImageDamaged as failure:
                said.append(failure.explain())
        sound = sound and repaired
    return Answer(sentence="\n".join(said) or "Every blob and layer is what its name says.", value=said, failed=not sound)


def _changes(changes: Sequence[difference.Change], none: str, *, rest: str = "") -> Answer:
    return Answer(
        sentence="\n".join(f"{change.kind} {change.text}" for change in changes) + rest or none,
        value=[{"kind": change.kind.value, "path": change.text, "bytes": change.size} for change in changes],
    )


def _instance(name: str) -> str:
    """An instance's id, from it or from what logs call it (`web.1a2b3c4d`)."""
    running = {one.id: source_of(one.id, one.spec.labels["process"]) for one in _engine().instances()}
    found = [known for known, called in running.items() if name in (known, called)]
    if len(found) != 1:
        what = f"There is no instance {name}." if not found else f"{name} may be {' or '.join(found)}."
        raise NoSuchImage(what, hint=f"There are {', '.join(running)}." if running else "No instance runs on this node.")
    return found[0]


def _engine() -> NodeEngine:
    return node.engine()


def _catalogue() -> Catalogue:
    return Catalogue(_engine().config, _engine().images)


def _transfer(time_limit: float = 1800.0) -> Transfer:
    return Transfer(_engine().config, _engine().images, time_limit=time_limit)


def _bring(source: str, name: str, access: Access, time_limit: float) -> Answer:
    images = _engine().images
    with images.lease():
        digest: Digest = _transfer(time_limit).bring(source, access).digest
        images.tag(name, digest)
    return Answer(sentence=f"{name} is {digest}", value={"name": name, "digest": digest})


def _own_name(text: str) -> str:
    """A name that people may give or take away."""
    try:
        name = Tag.parse(text)
    except ValueError as error:
        raise NoSuchImage(f"{error}.", hint="For example tools/python:3.13.") from None
    if is_of_platform(name) or is_of_stack(name):
        raise NoSuchImage(f"{name} is one of the platform's own names.", hint="They come and go with releases, builds and stacks.")
    return name


def _ago(moment: float) -> str:
    seconds = max(time.time() - moment, 0)
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit} ago"
    return "just now"


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
