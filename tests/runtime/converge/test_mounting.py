"""Tests of the volumes in the specification of an instance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runtime.containers.spec import Bind, ContainerSpec, Limits, TeamLimits
from runtime.contract.quantities import Bytes, Millicores
from runtime.converge.desired import DesiredApp, DesiredVolume
from runtime.converge.mounting import with_volumes
from runtime.errors import LaunchFailed
from runtime.volumes.volume import Volume

LIMITS = Limits(cpu=Millicores(1), memory=Bytes(1), processes=1, disk=Bytes(1))
SPEC = ContainerSpec(
    id="web-1",
    app="shop",
    team=1,
    layers=(),
    command=("run",),
    working_directory="/app",
    uid=1001,
    gid=1002,
    limits=LIMITS,
    labels={"kind": "instance"},
)


class Mounts:
    """Volumes that remember what was asked of them."""

    def __init__(self) -> None:
        self.created: list[int] = []
        self.owners: list[tuple[int, int] | None] = []

    def create(self, volume: Volume) -> None:
        self.created.append(volume.number)

    def mount(self, volume: Volume, *, owner: tuple[int, int] | None = None) -> Path:
        self.owners.append(owner)
        return Path(f"/state/volumes/{volume.number}/mount/data")


def desired(*volumes: DesiredVolume) -> DesiredApp:
    limits = TeamLimits(cpu=Millicores(1), memory=Bytes(1), processes=1)
    return DesiredApp(app="shop", team=1, hosts=(), team_limits=limits, volumes=volumes)


def volume(number: int, path: str, *processes: str, is_new: bool = False) -> DesiredVolume:
    found = Volume(number=number, team=1, size=Bytes(2**26))
    return DesiredVolume(volume=found, path=path, processes=frozenset(processes), is_new=is_new)


def test_a_process_type_gets_its_volumes_and_those_of_all():
    mounts = Mounts()
    app = desired(volume(1, "/all"), volume(2, "/web", "web"), volume(3, "/jobs", "worker"))
    found = with_volumes(SPEC, app, "web", mounts)
    assert found.volumes == (
        Bind(source=Path("/state/volumes/1/mount/data"), target="/all", writable=True),
        Bind(source=Path("/state/volumes/2/mount/data"), target="/web", writable=True),
    )
    assert found.labels == {"kind": "instance", "volumes": "1 2"}
    assert mounts.owners == [(1001, 1002)] * 2
    assert mounts.created == []


def test_only_a_new_volume_is_created():
    mounts = Mounts()
    with_volumes(SPEC, desired(volume(1, "/a", is_new=True), volume(2, "/b")), "web", mounts)
    assert mounts.created == [1]


def test_without_volumes_the_specification_is_the_same():
    assert with_volumes(SPEC, desired(volume(1, "/jobs", "worker")), "web", Mounts()) == SPEC


@pytest.mark.parametrize("path", ["/site", "/site/shop"])
def test_a_volume_never_hides_the_working_directory(path):
    mounts, spec = Mounts(), replace(SPEC, working_directory="/site/shop")
    with pytest.raises(LaunchFailed, match="working directory /site/shop"):
        with_volumes(spec, desired(volume(1, path, is_new=True)), "web", mounts)
    assert mounts.created == []
    assert with_volumes(spec, desired(volume(1, "/site/shop/up")), "web", mounts).volumes


@pytest.mark.parametrize("path", ["/", "/app", "/etc/x", "../x", "/a/../b"])
def test_a_row_with_a_forbidden_path_is_refused(path):
    with pytest.raises(ValueError, match="volume"):
        volume(1, path)


@pytest.mark.parametrize(("number", "team", "size"), [(0, 1, 2**26), (1, 0, 2**26), (1, 1, 1)])
def test_a_row_with_a_forbidden_number_is_refused(number, team, size):
    with pytest.raises(ValueError, match="volume"):
        Volume(number=number, team=team, size=Bytes(size))
