"""The portal as an ASGI application: Django behind limits for requests and their bodies."""

from __future__ import annotations

import gc
from importlib import import_module

import django

import portal.settings  # noqa: F401  # sets itself as Django's settings module, if none is set

django.setup(set_prefix=False)

from django.conf import settings  # noqa: E402  # Django must be set up first
from django.urls import reverse  # noqa: E402  # as above

from portal.gitserver import leftovers  # noqa: E402  # as above
from portal.server.handler import PortalHandler  # noqa: E402  # Django must be set up first

import_module(settings.ROOT_URLCONF)  # with all views, so that gunicorn's workers share its memory
reverse("home")  # loads all URLs, for the same reason
leftovers.sweep()
application = PortalHandler()
gc.collect()
# otherwise the garbage collector of each worker would write to the shared memory and so copy it
# (docs.python.org/3/library/gc.html#gc.freeze)
gc.freeze()
