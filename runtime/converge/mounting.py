"""The volumes of a new instance: they are mounted on the node, and added to its specification."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

from runtime.containers.spec import Bind, ContainerSpec
from runtime.contract.volumes import is_at_or_below
from runtime.converge.desired import DesiredApp
from runtime.errors import LaunchFailed
from runtime.volumes.volume import Volume

VOLUMES_LABEL = "volumes"  # the numbers of a container's volumes, separated by spaces


class VolumesToMount(Protocol):
    """The methods of `runtime.volumes.volumes.Volumes` that are used here."""

    def create(self, volume: Volume) -> None: ...
    def mount(self, volume: Volume, *, owner: tuple[int, int] | None = None) -> Path: ...


def with_volumes(
    spec: ContainerSpec, desired: DesiredApp, process: str, volumes: VolumesToMount
) -> ContainerSpec:
    """Return the specification with the volumes of a process type. Mount them if necessary.

    Raise LaunchFailed if a volume would hide the image's working directory, or VolumeFailed.
    """
    wanted = [each for each in desired.volumes if each.belongs_to(process)]
    for each in wanted:
        if is_at_or_below(spec.working_directory, each.path) and spec.working_directory != "/":
            raise LaunchFailed(
                f"The volume at {each.path} would hide the image's working directory"
                f" {spec.working_directory}.",
                hint="Choose another path for the volume.",
            )
    for each in wanted:
        if each.is_new:
            volumes.create(each.volume)
    binds = tuple(
        Bind(
            source=volumes.mount(each.volume, owner=(spec.uid, spec.gid)),
            target=each.path,
            writable=True,
        )
        for each in wanted
    )
    numbers = " ".join(str(each.volume.number) for each in wanted)
    labels = {**spec.labels, VOLUMES_LABEL: numbers} if wanted else spec.labels
    return replace(spec, volumes=binds, labels=labels)
