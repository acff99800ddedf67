"""The portal as an ASGI application: Django's own, with every body held to a size before it fills a disk."""

from __future__ import annotations

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
django.setup(set_prefix=False)

from portal.bodies import BoundedHandler  # noqa: E402  # Django must be set up first

application = BoundedHandler()
