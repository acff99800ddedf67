"""Create and enlarge the volumes that an app's manifest declares, before its rollout."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import transaction

from portal.apps.declared import Declared
from portal.apps.models import App
from portal.apps.volumes import Volume
from portal.quotas import amounts
from portal.volumes import actions
from runtime.contract.manifest import DeclaredVolume


@transaction.atomic
def adopt_volumes(app: App, declared: Declared) -> list[str]:
    """Create the missing volumes, and enlarge those that are smaller. Return notes for the rollout.

    Other settings of existing volumes do not change: people change them. The caller holds the app's
    lock. Raise Refused, for example if the quota is too small; then nothing is changed.
    """
    known = {row.name: row for row in Volume.objects.filter(app=app).select_related("app", "team")}
    notes: list[str] = []
    for wished in declared.volumes:
        if (row := known.get(wished.name)) is None:
            _create(app, wished)
            notes.append(
                f"The volume {wished.name} is new: {amounts.size(wished.size)} at {wished.path}."
                + _hint_of_older(app, wished)
            )
            continue
        if wished.size > row.size:
            actions.change(None, volume=row, size=wished.size)
            notes.append(f"The volume {row.name} grows to {amounts.size(wished.size)}.")
        notes += [
            f"The volume {row.name} keeps {text}. Change it in the settings of the app."
            for text in _differences(row, wished)
        ]
    return notes


def _create(app: App, wished: DeclaredVolume) -> None:
    actions.create(
        None,
        app=app,
        name=wished.name,
        path=wished.path,
        size=wished.size,
        processes=wished.processes,
        overlap=wished.overlap,
    )


def _hint_of_older(app: App, wished: DeclaredVolume) -> str:
    older = Volume.objects.filter(team=app.team, app=None, last_app=app.name, name=wished.name)
    if not older.exists():
        return ""
    return " An older volume with this name is not attached. Its data is not in the new one."


def _differences(row: Volume, wished: DeclaredVolume) -> Iterator[str]:
    if row.path != wished.path:
        yield f"its path {row.path}"
    if row.processes != sorted(set(wished.processes)):
        yield f"its process types ({', '.join(row.processes) or 'all'})"
    if row.overlap != wished.overlap:
        yield f"its rollouts ({'overlap' if row.overlap else 'stop, then start'})"
