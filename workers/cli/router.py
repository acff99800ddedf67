"""The verbs of `manage.py router`. Each returns an answer that prints as a table or as JSON."""

from __future__ import annotations

from typing import Any

from runtime.router.routes import AppRoutes
from workers import node
from workers.cli.answer import Answer


def ls(**_: Any) -> Answer:
    routes = sorted(
        node.engine().router.routes().values(), key=lambda routes_of_app: routes_of_app.app
    )
    return Answer(
        columns=("APP", "SITUATION", "INSTANCES", "HOSTS", "PATHS"),
        rows=[
            (
                routes_of_app.app,
                str(routes_of_app.situation),
                len(routes_of_app.endpoints),
                ", ".join(routes_of_app.hosts),
                _paths(routes_of_app),
            )
            for routes_of_app in routes
        ],
        value=[
            {
                "app": routes_of_app.app,
                "situation": str(routes_of_app.situation),
                "instances": [end.instance for end in routes_of_app.endpoints],
                "hosts": list(routes_of_app.hosts),
                "paths": {
                    path.prefix: {
                        "process": path.process,
                        "situation": str(routes_of_app.situation_of(path.process)),
                    }
                    for path in routes_of_app.paths
                },
            }
            for routes_of_app in routes
        ],
    )


def _paths(routes: AppRoutes) -> str:
    return ", ".join(
        f"{path.prefix} to {path.process}: {routes.situation_of(path.process)}"
        for path in routes.paths
    )


def check(**_: Any) -> Answer:
    found = node.engine().router.reconcile()
    return Answer(
        sentence="\n".join(found) or "The router has exactly the routes it should have.",
        value=found,
    )


def reload(**_: Any) -> Answer:
    router = node.engine().router
    before = router.workers()
    router.reload()
    after = router.workers()
    if not after:
        sentence = "The router is not running. Its files are valid, and it will start with them."
    elif after == before:
        sentence = "The router is just starting, and uses its current files."
    else:
        sentence = f"A new worker takes all new connections from now on; {_older(len(after) - 1)}."
    return Answer(sentence=sentence, value={"workers": after}, failed=not after)


def _older(count: int) -> str:
    return {0: "no older worker is left", 1: "an older worker finishes its open connections"}.get(
        count, f"{count} older workers finish their open connections"
    )
