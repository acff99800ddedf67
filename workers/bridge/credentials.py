"""The password or token of a build, and the Git repository that it is for."""

from __future__ import annotations

from portal.apps.secrets import decrypt_config
from portal.builds.models import Build, SourceKind
from runtime.contract.git_address import GitAddress


def credentials_of(build: Build) -> dict[str, str]:
    """Return the credentials for the registry of a build's image, or an empty mapping."""
    return decrypt_config(build.encrypted_credentials) if build.encrypted_credentials else {}


def secrets_of(build: Build) -> tuple[str, ...]:
    """Return the password and token of a build, which no log shows."""
    credentials = credentials_of(build)
    return tuple(credentials[name] for name in ("password", "token") if name in credentials)


def repository_of(build: Build) -> GitAddress | None:
    """Return the Git repository that a build fetches. Raise ValueError if the row is damaged."""
    if build.source.kind != SourceKind.GIT:
        return None
    return GitAddress.parse(build.source.filename, token=credentials_of(build).get("token", ""))
