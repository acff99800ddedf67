"""Base images from this machine's own registry, by the name that `docker pull` has for them.

The portal decides which images a team may read; a name of another team is like a missing one.
"""

from __future__ import annotations

from contextlib import suppress

from runtime.builds.context import BuildContext
from runtime.builds.import_image import adopt_pushed
from runtime.builds.requests import OwnImages
from runtime.errors import ImageDamaged, TransferFailed
from runtime.images.digest import Digest
from runtime.images.exchange.registry_reference import RemoteName


def own_name(own: OwnImages, text: str) -> RemoteName | None:
    """Return the parsed name if it is one of our registry."""
    try:
        name = RemoteName.parse(text)
    except ValueError:
        return None
    return name if name.host == own.host else None


def own_image(context: BuildContext, own: OwnImages, name: RemoteName) -> Digest:
    """Return the image in the store. Raise TransferFailed if the team has no such image."""
    image = own.find(name.path, name.digest or name.tag)
    if image is None:
        raise TransferFailed(
            f"Team {own.team} has no image {name} in this registry.",
            hint="Use an image of an app of the same team; the app's page lists its tags.",
        )
    with suppress(ImageDamaged, FileNotFoundError):  # it is not in the store yet
        for layer in context.store.layers_of(image.manifest):
            context.store.unpacked(layer)
        return image.manifest
    context.log(f"Checking {name}, {image.manifest.short}")
    return adopt_pushed(context.config, context.store, image).digest
