"""The commands for volumes against a listening portal. A node is not needed for what they send."""

import json

import pytest

from portal.apps.models import App
from portal.apps.volumes import Volume
from portal.volumes.models import VolumeJob
from slipway_cli.errors import CommandFailed
from slipway_cli.sizes import bytes_from
from tests.cli.conftest import Command


@pytest.fixture
def shop(slipway: Command) -> Command:
    slipway.done("create", "shop")
    slipway.environment["SLIPWAY_APP"] = "shop"
    return slipway


def _work() -> None:
    """Record that a node has done what was asked."""
    VolumeJob.objects.update(state="done")
    Volume.objects.update(state="ready")


def test_a_volume_is_created_changed_detached_attached_and_deleted(shop: Command) -> None:
    assert shop.done("volumes") == ""
    made = json.loads(
        shop.done("volumes", "create", "files", "--path", "/data", "--size", "64M", "--json")
    )
    assert (made["size"], made["path"], made["rollout"]) == (64 * 2**20, "/data", "stop-then-start")
    listed = shop.done("volumes").splitlines()
    assert listed[0].startswith("NUMBER\tVOLUME\tAPP\tPATH")
    assert listed[1].split("\t")[1:5] == ["files", "shop", "/data", "64.0 MiB"]
    _work()
    shop.done("volumes", "change", "files", "--size", "128M", "--overlap", "-p", "web")
    row = Volume.objects.get()
    assert (row.size, row.overlap, row.processes) == (128 * 2**20, True, ["web"])
    assert "Nothing to change" in shop.refused("volumes", "change", "files", code=2)
    _work()
    shop.done("volumes", "detach", "files")
    assert "has no volume files" in shop.refused("volumes", "detach", "files", code=5)
    number = str(made["number"])
    shop.done("volumes", "attach", number, "--path", "/other")
    assert Volume.objects.get().app == App.objects.get(name="shop")
    assert "--yes" in shop.refused("volumes", "delete", "files", code=2)
    shop.done("volumes", "delete", number, "--yes")
    assert "deleted" in shop.done("volumes", "--all")


def test_a_refusal_of_the_portal_is_shown(shop: Command) -> None:
    said = shop.refused("volumes", "create", "files", "--path", "/usr", "--size", "1G")
    assert "/usr" in said
    assert "could not be read" in shop.refused("volumes", "upload", "1", "nowhere.zip", code=2)
    assert "is not a size" in shop.refused(
        "volumes", "create", "x", "--path", "/d", "--size", "big", code=2
    )


@pytest.mark.parametrize(
    ("text", "size"),
    [("512M", 2**29), ("1.5G", 3 * 2**29), ("1 TiB", 2**40), ("10kb", 10240), ("64", 2**26)],
)
def test_amounts_are_read_as_people_write_them(text: str, size: int) -> None:
    assert bytes_from(text) == size


@pytest.mark.parametrize("text", ["", "-1M", "1e3", "M", "1 XB", "1.M", "١M"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(CommandFailed, match="is not a size"):
        bytes_from(text)
