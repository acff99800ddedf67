"""Collect the static files: copies with a hash in their name, and compressed copies."""

from __future__ import annotations

from django.contrib.staticfiles.management.commands import collectstatic
from django.core.management import call_command
from whitenoise.storage import (  # type: ignore[import-untyped]  # the package ships no types
    CompressedManifestStaticFilesStorage,
)


def collect() -> None:
    """Fill settings.STATIC_ROOT, and write the manifest that maps names to hashed names.

    The storage is given here, not by settings.STORAGES: before the first run there is no manifest,
    and then the settings use unhashed names.
    """
    command = collectstatic.Command()
    command.storage = CompressedManifestStaticFilesStorage()
    call_command(command, interactive=False, clear=True, verbosity=0)
