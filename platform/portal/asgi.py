"""The portal as an ASGI application: Django's own, with every body held to a size before it fills a disk."""

from __future__ import annotations

import django

import portal.settings  # noqa: F401  # names itself as Django's settings, where nobody named others

django.setup(set_prefix=False)

from portal.bodies import BoundedHandler  # noqa: E402  # Django must be set up first
from portal.gitserver import leftovers  # noqa: E402

leftovers.sweep()
application = BoundedHandler()
