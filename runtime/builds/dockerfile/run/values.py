"""The values of a RUN step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runtime.builds.dockerfile.accounts import Account
from runtime.builds.dockerfile.mounts import Mount
from runtime.builds.dockerfile.syntax import Instruction
from runtime.images.manifest import ImageConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The values that a Dockerfile's build gets from outside: those of the request, and those of
    this host.
    """

    arguments: Mapping[str, str]  # --build-arg
    secrets: Mapping[str, str]  # by id
    proxies: Mapping[str, str]  # this host's proxies: for RUN, never in the image or a key
    authorities: Path | None = (
        None  # a bundle of certificates that RUN trusts, also never in the image or a key
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MountContent:
    """The content of a mount: a name in the context, or in the union of a stage's or image's
    layers.
    """

    layers: tuple[Path, ...]  # topmost first; only the source for the context
    name: str
    is_context: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One RUN with all its values."""

    of: Instruction
    id: str  # of its container
    place: Path  # a folder to work in
    config: ImageConfig
    environment: Mapping[str, str]
    layers: tuple[Path, ...]  # topmost first
    source: Path  # the build context
    account: Account
    mounts: tuple[Mount, ...]
    lent: Mapping[int, MountContent]  # number of a mount -> its content
