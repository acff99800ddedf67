"""Entry point of this package: build a source with a Dockerfile to layers, configuration and
processes.
"""

from __future__ import annotations

import json
import platform
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from runtime.builds.context import BuildContext
from runtime.builds.dockerfile.accounts import account
from runtime.builds.dockerfile.base_images.bases import Bases, Resolve, is_made_here
from runtime.builds.dockerfile.executor import Executor
from runtime.builds.dockerfile.image_files import reader
from runtime.builds.dockerfile.run.values import Options
from runtime.builds.dockerfile.stages import SCRATCH, divide
from runtime.builds.dockerfile.syntax import parse
from runtime.config import package_environment
from runtime.errors import BadSource
from runtime.images.manifest import ImageConfig, Layer
from runtime.stacks.available import Offer

FILE = "Dockerfile"
USER_LABEL, WEB_LABEL = (
    "slipway.user",
    "slipway.web",
)  # the numbers of USER; the web process that is ENTRYPOINT and CMD
_PROXY = re.compile(r"(?i:https?_proxy|all_proxy|no_proxy)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The result of a Dockerfile."""

    layers: list[Layer]  # bottom first
    config: ImageConfig  # as the Dockerfile specifies it
    processes: dict[str, str]
    user: str  # uid:gid of its USER


def build(
    context: BuildContext,
    source: Path,
    text: bytes,
    options: Options,
    *,
    resolve: Resolve,
    substitutes: bool = False,
    declared: Mapping[str, str],
) -> Made:
    """Build the Dockerfile `text` with all files of `source` available to COPY.

    Only `context.helper` reads the source.
    With `substitutes`, stacks are used for official images that cannot be fetched.
    `declared` has process types in addition to the image's own. BadSource names its line,
    BuildFailed the failed step.
    """
    log, store = context.log, context.store
    script = parse(text)
    for warning in script.warnings:
        log(f"Dockerfile, {warning}")
    recipe = divide(script, options.arguments, platform.machine())
    bases = Bases(context=context, resolve=resolve, substitutes=substitutes)
    executor = Executor(context=context, options=options, bases=bases, recipe=recipe, source=source)
    state = executor.run()
    if not state.layers:
        raise BadSource("The Dockerfile builds an empty image.", hint="COPY a program into it.")
    paths = tuple(store.unpacked(layer) for layer in reversed(state.layers))
    user = account(state.config.user or "0", reader(paths, context.helper), recipe.stages[-1].start)
    return Made(
        layers=state.layers,
        config=state.config,
        processes=_processes(state.config, declared, log),
        user=f"{user.uid}:{user.gid}",
    )


def foreign_bases(text: bytes, arguments: Mapping[str, str], offered: Offer) -> tuple[str, ...]:
    """Return the bases of a Dockerfile that only a registry has.

    Return () if the Dockerfile is not valid: its build reports the error.
    """
    try:
        recipe = divide(parse(text), arguments, platform.machine())
    except BadSource:
        return ()
    bases = {
        stage.base
        for stage in recipe.needed()
        if stage.parent is None and stage.base.lower() != SCRATCH
    }
    return tuple(sorted(base for base in bases if not is_made_here(base, offered)))


def labelled(made: Made) -> ImageConfig:
    """Return the configuration with the labels that an instance needs."""
    labels = {
        USER_LABEL: made.user,
        "slipway.language": "Dockerfile",
        "slipway.processes": json.dumps(made.processes, sort_keys=True),
    }
    own = shlex.join((*made.config.entrypoint, *made.config.command))
    if made.processes.get("web") == own:
        labels[WEB_LABEL] = own
    return replace(made.config, labels={**made.config.labels, **labels})


def proxies() -> dict[str, str]:
    """Return this host's proxy settings, as Docker passes them to builds from its own settings."""
    return {name: value for name, value in package_environment().items() if _PROXY.fullmatch(name)}


def _processes(
    config: ImageConfig, declared: Mapping[str, str], log: Callable[[str], None]
) -> dict[str, str]:
    own = shlex.join((*config.entrypoint, *config.command))
    if "web" in declared or not own:
        if not declared:
            raise BadSource(
                "The Dockerfile has no command to run.",
                hint="Add CMD or ENTRYPOINT, or a Procfile.",
            )
        return dict(declared)
    log(f"Web process: `{own}`, the image's ENTRYPOINT and CMD")
    return {"web": own, **declared}
