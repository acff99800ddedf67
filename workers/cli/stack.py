"""The verbs of `manage.py stack`, each an answer that prints as a table or as JSON."""

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
    mine = {name: [one.label for one in built if one.identity == identity_of(stack)] for name, stack in offered.stacks.items()}
    owner = {name: "shipped" if STACKS.get(name) == stack else "own" for name, stack in offered.stacks.items()}
    return Answer(
        columns=("NAME", "MADE OF", "LANGUAGES", "NEWEST", "VERSIONS", "FILE"),
        rows=[
            (
                name,
                _made_of(stack),
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
                "made_of": _made_of(stack),
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
    built = [one for one in versions(engine.config) if one.name == name]
    users = {one.diff_id: sorted(_apps_on(catalogue, one.diff_id)) for one in built}
    current = next((one for one in built if one.identity == identity_of(stack)), None)
    lines = [f"{name}: {_made_of(stack)}", f"Packages: {', '.join(stack.packages)}"] if stack.packages else [f"{name}: {_made_of(stack)}"]
    return Answer(
        columns=("VERSION", "BUILT", "SIZE", "APPS", ""),
        rows=[
            (
                one.label,
                _day(one),
                Bytes(_size(catalogue, one.diff_id)),
                ", ".join(users[one.diff_id]) or "-",
                "newest" if one == current else "" if one.identity == identity_of(stack) else "of another definition",
            )
            for one in built
        ],
        sentence="\n".join(lines),
        value={
            "name": name,
            "made_of": _made_of(stack),
            "packages": list(stack.packages),
            "languages": _languages(offered, name),
            "versions": [
                {
                    "label": one.label,
                    "diff_id": one.diff_id,
                    "built_at": one.built_at,
                    "used_at": one.used_at,
                    "newest": one == current,
                    "apps": users[one.diff_id],
                }
                for one in built
            ],
        },
    )


def build(*, name: str, language: list[str], progress: Progress, **_: Any) -> Answer:
    engine, offered = node.engine(), _offer()
    stack = offered.stack(name)
    wanted = []
    for one in language:
        if one not in offered.languages or offered.languages[one].stack.name != name:
            raise NoSuchImage(f"{name} offers no {one}.", hint=f"It offers {', '.join(_languages(offered, name)) or 'no language'}.")
        wanted.append(offered.languages[one])
    with engine.images.lease():
        image = ensure_stack(engine.config, engine.images, name, progress)
        for runtime in wanted:
            ensure_runtime(engine.config, engine.images, runtime, stack, progress)
    return Answer(sentence=f"{' and '.join((name, *language))} is there.", value={"name": name, "digest": image.digest})


def rebuild(*, name: list[str], every: bool, progress: Progress, **_: Any) -> Answer:
    engine, offered = node.engine(), _offer()
    there = {one.name for one in versions(engine.config)}
    names = [known for known in offered.stacks if known in there] if every else name
    if not names:
        raise NoSuchImage("Name a stack, or say --all.", hint="`manage.py stack ls` lists them.")
    lines, told = [], []
    for one in names:
        version, fresh = rebuild_stack(engine.config, engine.images, one, progress)
        lines.append(f"{one}: {version.label} is new." if fresh else f"{one}: there is nothing newer than {version.label}.")
        told.append({"name": one, "version": version.label, "new": fresh})
    hint = "`manage.py stack upgrade --all` brings the apps to it." if any(one["new"] for one in told) else ""
    return Answer(sentence="\n".join([*lines, *([hint] if hint else [])]), value=told)


def upgrade(*, app: list[str], every: bool, from_source: bool, progress: Progress, **_: Any) -> Answer:
    rows = App.objects.filter(deleted_at=None).order_by("name")
    chosen = list(rows if every else rows.filter(name__in=app))
    if unknown := sorted(set(app) - {one.name for one in chosen}):
        raise NoSuchImage(f"There is no app {', '.join(unknown)}.", hint="The portal lists them.")
    if not chosen and not every:
        raise NoSuchImage("Name an app, or say --all.", hint="For example: manage.py stack upgrade --all")
    told = [upgrade_app(one, node.engine(), None, rebuild=from_source, progress=progress) for one in chosen]
    return Answer(
        columns=("APP", "OUTCOME", ""),
        rows=[(one.app, one.outcome, one.sentence) for one in told],
        value=[{"app": one.app, "outcome": one.outcome, "sentence": one.sentence} for one in told],
        failed=any(one.outcome == "failed" for one in told),
    )


def _offer() -> Offer:
    return offer(node.engine().config)


def _languages(offered: Offer, stack: str) -> list[str]:
    return [one.name for one in offered.languages.values() if one.stack.name == stack]


def _made_of(stack: Stack) -> str:
    return stack.image or f"Debian {stack.suite}"


def _apps_on(catalogue: Catalogue, diff_id: Digest) -> Iterable[str]:
    """Apps, by their images' names, that stand on a layer."""
    images = catalogue.inventory.images.values()
    return {name.partition(":")[0] for one in images if diff_id in one.diff_ids for name in one.names if not is_of_stack(name)}


def _size(catalogue: Catalogue, diff_id: Digest) -> int:
    facts = catalogue.inventory.layers.get(diff_id)
    return facts.size if facts else 0


def _day(version: Version) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(version.built_at))
