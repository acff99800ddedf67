"""The list of all attacks."""

from tests.system.attacks import escapes, images, names, pushes, resources, volumes

ATTACKS = (
    *resources.ATTACKS,
    *escapes.ATTACKS,
    *names.ATTACKS,
    *images.ATTACKS,
    *pushes.ATTACKS,
    *volumes.ATTACKS,
)
