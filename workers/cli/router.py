"""The verbs of `manage.py router`, each an answer that prints as a table or as JSON."""

from __future__ import annotations

from typing import Any

from runtime.router.routes import AppRoutes
from workers import node
from workers.cli.answer import Answer


def ls(**_: Any) -> Answer:
    routes = sorted(node.engine().router.routes().values(), key=lambda one: one.app)
    return Answer(
        columns=("APP", "SITUATION", "INSTANCES", "HOSTS", "PATHS"),
        rows=[(one.app, str(one.situation), len(one.endpoints), ", ".join(one.hosts), _paths(one)) for one in routes],
        value=[
            {
                "app": one.app,
                "situation": str(one.situation),
                "instances": [end.instance for end in one.endpoints],
                "hosts": list(one.hosts),
                "paths": {path.prefix: {"process": path.process, "situation": str(one.situation_of(path.process))} for path in one.paths},
            }
            for one in routes
        ],
    )


def _paths(routes: AppRoutes) -> str:
    return ", ".join(f"{path.prefix} to {path.process}: {routes.situation_of(path.process)}" for path in routes.paths)


def check(**_: Any) -> Answer:
    found = node.engine().router.reconcile()
    return Answer(sentence="\n".join(found) or "The router has exactly the routes it should have.", value=found)


def reload(**_: Any) -> Answer:
    router = node.engine().router
    before = router.workers()
    router.reload()
    after = router.workers()
    if not after:
        said = "The router is not running; its files are good, and it starts from them."
    elif after == before:
        said = "The router is just starting: it has its files as they are now."
    else:
        said = f"A fresh worker takes all new connections since now; {_older(len(after) - 1)}."
    return Answer(sentence=said, value={"workers": after}, failed=not after)


def _older(count: int) -> str:
    return {0: "no older one is left", 1: "an older one ends with what it has open"}.get(
        count, f"{count} older ones end with what they have open"
    )
