"""Translation of an app's rows of volumes into the desired state."""

from __future__ import annotations

from dataclasses import replace

from portal.apps.models import App
from portal.apps.volumes import Volume as VolumeRow
from portal.apps.volumes import VolumeState
from portal.volumes.access import replaces_all_at_once, volumes_of
from runtime.contract.quantities import Bytes
from runtime.converge.desired import DesiredVolume
from runtime.converge.strategy import Strategy, StrategyKind
from runtime.volumes.volume import Volume


def volume_of(row: VolumeRow) -> Volume:
    """Return the volume as the node knows it."""
    return Volume(number=row.pk, team=row.team_id, size=Bytes(row.size))


def desired_volumes(app: App) -> tuple[DesiredVolume, ...]:
    """Return the volumes of an app's instances."""
    return tuple(
        DesiredVolume(
            volume=volume_of(row),
            path=row.path,
            processes=frozenset(row.processes),
            is_new=row.state == VolumeState.CREATING,
        )
        for row in volumes_of(app)
    )


def strategy_with_volumes(app: App, chosen: Strategy) -> Strategy:
    """Return the strategy: old instances stop first if two writers of a volume are not allowed."""
    if replaces_all_at_once(app):
        return replace(chosen, kind=StrategyKind.RECREATE)
    return chosen
