"""The commit of a running instance (`docker commit`): its image, plus one layer of written files.

The files are untrusted, like those of a build. They are measured before they are copied, and setuid
bits and file capabilities are removed. Config vars, /tmp and mounts of the instance are not
included.
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
from runtime.stacks.layer_names import layer_names


def commit(config: NodeConfig, images: Store, containers: Containers, id: str) -> Digest:
    """Create an image of the instance and return its digest.

    The caller holds a lease until it has a name.

    Raises LaunchFailed, NoSuchImage or BuildFailed.
    """
    container = containers.state(id)
    if container is None or container.spec.labels.get("kind") != container_spec.INSTANCE:
        raise LaunchFailed(
            f"There is no instance {id}.", hint="List the running instances of the app."
        )
    check_room(config)
    base = image_of(images, container)
    layers, document = list(images.layers_of(base)), images.configuration(images.manifest(base))[0]
    config.workspaces.mkdir(parents=True, exist_ok=True)
    with scratch(config.workspaces) as space:
        tree, most = space / "tree", container.spec.limits.disk
        containers.copy_written(id, tree, most=most)
        layers.append(images.add_layer(tree, move=True, team=container.spec.team))
    configuration = with_step(
        complete(document, layers[:-1], layer_names(config)), history_entry(container)
    )
    return images.write_image(layers, configuration)


def history_entry(container: Container) -> str:
    """Return the history entry: "Commit of web.1a2b3c4d of v12"."""
    labels = container.spec.labels
    return (
        f"Commit of {container_spec.source_of(container.id, labels['process'])} of"
        f" v{labels['release']}"
    )


def image_of(images: Store, container: Container) -> Digest:
    """Return the image of an instance: its release's by name, or one with the same layers."""
    named, unnamed = images.index.read()
    name = f"{container.spec.app}:v{container.spec.labels['release']}"
    first = [named[name].digest] if name in named else []
    for digest in (*first, *(image.digest for image in (*named.values(), *unnamed))):
        if _has_layers(images, digest, container.spec.layers):
            return digest
    what = f"The image of {container.id} is no longer in the store."
    raise NoSuchImage(what, hint="Deploy the app again, and commit an instance of the new release.")


def _has_layers(images: Store, digest: Digest, layers: tuple[Path, ...]) -> bool:
    try:
        _, diff_ids = images.configuration(images.manifest(digest))
    except (ImageDamaged, KeyError, ValueError):  # `verify` reports it
        return False
    return [path.name for path in layers] == [diff_id.hex for diff_id in reversed(diff_ids)]
