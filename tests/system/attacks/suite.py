"""The list of all attacks."""

from tests.system.attacks import escapes, images, names, pushes, resources

ATTACKS = (*resources.ATTACKS, *escapes.ATTACKS, *names.ATTACKS, *images.ATTACKS, *pushes.ATTACKS)
