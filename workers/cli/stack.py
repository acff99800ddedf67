"""The verbs of `manage.py stack`. Each returns an answer that prints as a table or as JSON."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from portal.apps.models import App
from runtime.contract.quantities import Bytes
from runtime.errors import NoSuchImage
from runtime.images.catalogue import Catalogue
from runtime.images.collect import is_of_stack
from runtime.images.digest import Digest
from runtime.stacks.available import Offer, offer
from runtime.stacks.builder import ensure_runtime, ensure_stack
from runtime.stacks.builder import rebuild as rebuild_stack
from runtime.stacks.definition import STACKS
from runtime.stacks.stack import Stack
from runtime.stacks.versions import Version, identity_of, versions
from workers import node
from workers.cli.answer import Answer
from workers.tasks.upgrade import upgrade_app

Progress = Callable[[str], None]


def ls(**_: Any) -> Answer:
    offered, built = _offer(), versions(node.engine().config)
    mine = {
        name: [version.label for version in built if version.identity == identity_of(stack)]
        for name, stack in offered.stacks.items()
    }
    owner = {
        name: "shipped" if STACKS.get(name) == stack else "own"
        for name, stack in offered.stacks.items()
    }
    return Answer(
        columns=("NAME", "MADE OF", "LANGUAGES", "NEWEST", "VERSIONS", "FILE"),
        rows=[
            (
                name,
                _description(stack),
                ", ".join(_languages(offered, name)) or "-",
                mine[name][0] if mine[name] else "not built",
                len(mine[name]),
                owner[name],
            )
            for name, stack in offered.stacks.items()
        ],
        value=[
            {
                "name": name,
                "made_of": _description(stack),
                "languages": _languages(offered, name),
                "versions": mine[name],
                "file": owner[name],
            }
            for name, stack in offered.stacks.items()
        ],
    )


def show(*, name: str, **_: Any) -> Answer:
    engine, offered = node.engine(), _offer()
    stack, catalogue = offered.stack(name), Catalogue(engine.config, engine.images)
    built = [version for version in versions(engine.config) if version.name == name]
    users = {version.diff_id: sorted(_apps_on(catalogue, version.diff_id)) for version in built}
    current = next((version for version in built if version.identity == identity_of(stack)), None)
    lines = (
        [f"{name}: {_description(stack)}", f"Packages: {', '.join(stack.packages)}"]
        if stack.packages
        else [f"{name}: {_description(stack)}"]
    )
    return Answer(
        columns=("VERSION", "BUILT", "SIZE", "APPS", ""),
        rows=[
            (
                version.label,
                _day(version),
                Bytes(_size(catalogue, version.diff_id)),
                ", ".join(users[version.diff_id]) or "-",
                (
                    "newest"
                    if version == current
                    else ""
                    if version.identity == identity_of(stack)
                    else "of another definition"
                ),
            )
            for version in built
        ],
        sentence="\n".join(lines),
        value={
            "name": name,
            "made_of": _description(stack),
            "packages": list(stack.packages),
            "languages": _languages(offered, name),
            "versions": [
                {
                    "label": version.label,
                    "diff_id": version.diff_id,
                    "built_at": version.built_at,
                    "used_at": version.used_at,
                    "newest": version == current,
                    "apps": users[version.diff_id],
                }
                for version in built
            ],
        },
    )


def build(*, name: str, language: list[str], progress: Progress, **_: Any) -> Answer:
    engine, offered = node.engine(), _offer()
    stack = offered.stack(name)
    wanted = []
    for runtime_name in language:
        if (
            runtime_name not in offered.languages
            or offered.languages[runtime_name].stack.name != name
        ):
            raise NoSuchImage(
                f"{name} does not offer {runtime_name}.",
                hint=f"It offers {', '.join(_languages(offered, name)) or 'no language'}.",
            )
        wanted.append(offered.languages[runtime_name])
    with engine.images.lease():
        image = ensure_stack(engine.config, engine.images, name, progress)
        for runtime in wanted:
            ensure_runtime(engine.config, engine.images, runtime, stack, progress)
    return Answer(
        sentence=f"{' and '.join((name, *language))} is built.",
        value={"name": name, "digest": image.digest},
    )


def rebuild(*, name: list[str], every: bool, progress: Progress, **_: Any) -> Answer:
    engine, offered = node.engine(), _offer()
    there = {version.name for version in versions(engine.config)}
    names = [known for known in offered.stacks if known in there] if every else name
    if not names:
        raise NoSuchImage(
            "Give the name of a stack, or --all.", hint="`manage.py stack ls` lists them."
        )
    lines, results = [], []
    for stack in names:
        version, fresh = rebuild_stack(engine.config, engine.images, stack, progress)
        lines.append(
            f"{stack}: built {version.label}."
            if fresh
            else f"{stack}: nothing is newer than {version.label}."
        )
        results.append({"name": stack, "version": version.label, "new": fresh})
    hint = (
        "`manage.py stack upgrade --all` upgrades the apps to it."
        if any(result["new"] for result in results)
        else ""
    )
    return Answer(sentence="\n".join([*lines, *([hint] if hint else [])]), value=results)


def upgrade(
    *, app: list[str], every: bool, from_source: bool, progress: Progress, **_: Any
) -> Answer:
    rows = App.objects.filter(deleted_at=None).order_by("name")
    chosen = list(rows if every else rows.filter(name__in=app))
    if unknown_apps := sorted(set(app) - {row.name for row in chosen}):
        raise NoSuchImage(
            f"There is no app {', '.join(unknown_apps)}.", hint="The portal lists them."
        )
    if not chosen and not every:
        raise NoSuchImage(
            "Give the name of an app, or --all.", hint="For example: manage.py stack upgrade --all"
        )
    results = [
        upgrade_app(row, node.engine(), None, rebuild=from_source, progress=progress)
        for row in chosen
    ]
    return Answer(
        columns=("APP", "OUTCOME", ""),
        rows=[(result.app, result.outcome, result.sentence) for result in results],
        value=[
            {"app": result.app, "outcome": result.outcome, "sentence": result.sentence}
            for result in results
        ],
        failed=any(result.outcome == "failed" for result in results),
    )


def _offer() -> Offer:
    return offer(node.engine().config)


def _languages(offered: Offer, stack: str) -> list[str]:
    return [
        language.name for language in offered.languages.values() if language.stack.name == stack
    ]


def _description(stack: Stack) -> str:
    return stack.image or f"Debian {stack.suite}"


def _apps_on(catalogue: Catalogue, diff_id: Digest) -> Iterable[str]:
    """Return the apps, by their images' names, whose images contain a layer."""
    images = catalogue.inventory.images.values()
    return {
        name.partition(":")[0]
        for image in images
        if diff_id in image.diff_ids
        for name in image.names
        if not is_of_stack(name)
    }


def _size(catalogue: Catalogue, diff_id: Digest) -> int:
    facts = catalogue.inventory.layers.get(diff_id)
    return facts.size if facts else 0


def _day(version: Version) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(version.built_at))
