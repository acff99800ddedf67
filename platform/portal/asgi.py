"""The portal as an ASGI application: Django's own, behind limits for requests and their bodies."""

from __future__ import annotations

import gc
from importlib import import_module

import django

import portal.settings  # noqa: F401  # names itself as Django's settings, where nobody named others

django.setup(set_prefix=False)

from django.conf import settings  # noqa: E402  # Django must be set up first
from django.urls import reverse  # noqa: E402  # as above

from portal.gitserver import leftovers  # noqa: E402  # as above
from portal.handling import PortalHandler  # noqa: E402  # Django must be set up first

import_module(settings.ROOT_URLCONF)  # with all views, so that gunicorn's workers share the memory they take
reverse("home")  # reads all addresses, for the same reason
leftovers.sweep()
application = PortalHandler()
gc.collect()
gc.freeze()  # else the collector of each worker writes to, and so copies, what they share (docs.python.org/3/library/gc.html#gc.freeze)
