"""An image made of a running instance: its own image's layers, and what it wrote as one layer more (`docker commit`).

What an instance wrote is a tenant's work like a build's: it is measured before it is copied, and loses setuid bits and file
capabilities before it is a layer. Config vars, /tmp and what is mounted into an instance are no part of it.
"""

from __future__ import annotations

from pathlib import Path

from runtime.builds.history import complete, with_step
from runtime.config import NodeConfig
from runtime.containers.container import Container
from runtime.containers.lifecycle import Containers
from runtime.converge import container_spec
from runtime.errors import ImageDamaged, LaunchFailed, NoSuchImage
from runtime.images.digest import Digest
from runtime.images.disk import check_room
from runtime.images.scratch import scratch
from runtime.images.store import Store
from runtime.stacks.builder import layer_names


def commit(config: NodeConfig, images: Store, containers: Containers, id: str) -> Digest:
    """The new image's digest; the caller holds a lease until it is named. LaunchFailed, NoSuchImage, BuildFailed say why not."""
    container = containers.state(id)
    if container is None or container.spec.labels.get("kind") != container_spec.INSTANCE:
        raise LaunchFailed(f"There is no instance {id}.", hint="Look which instances run.")
    check_room(config)
    base = image_of(images, container)
    layers, document = list(images.layers_of(base)), images.configuration(images.manifest(base))[0]
    config.workspaces.mkdir(parents=True, exist_ok=True)
    with scratch(config.workspaces) as space:
        tree, most = space / "tree", container.spec.limits.disk
        containers.copy_written(id, tree, most=most)
        layers.append(images.add_layer(tree, move=True, team=container.spec.team))
    told = with_step(complete(document, layers[:-1], layer_names(config)), described(container))
    return images.write_image(layers, told)


def described(container: Container) -> str:
    """For history: "Commit of web.1a2b3c4d of v12"."""
    labels = container.spec.labels
    return f"Commit of {container_spec.source_of(container.id, labels['process'])} of v{labels['release']}"


def image_of(images: Store, container: Container) -> Digest:
    """The image that an instance stands on: its release's by name, else any of the very same layers."""
    named, unnamed = images.index()
    name = f"{container.spec.app}:v{container.spec.labels['release']}"
    first = [named[name].digest] if name in named else []
    for digest in (*first, *(one.digest for one in (*named.values(), *unnamed))):
        if _stands_on(images, digest, container.spec.layers):
            return digest
    what = f"The image of {container.id} is not in the store any more."
    raise NoSuchImage(what, hint="Deploy the app again, and commit an instance of that.")


def _stands_on(images: Store, digest: Digest, layers: tuple[Path, ...]) -> bool:
    try:
        _, diff_ids = images.configuration(images.manifest(digest))
    except (ImageDamaged, KeyError, ValueError):  # `verify` names it
        return False
    return [path.name for path in layers] == [diff_id.hex for diff_id in reversed(diff_ids)]
