"""Tests of each verb of `manage.py image`, called as people call it."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from runtime import journal
from runtime.config import NodeConfig
from runtime.engines.node import NodeEngine
from tests.runtime.images.conftest import Yard
from tests.runtime.images.test_transfer import PASSWORD, USER, Registry, registry
from workers import node

__all__ = ["registry"]
Image = Callable[..., str]


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    config = NodeConfig(
        name="timages", state=tmp_path / "state", run=tmp_path / "run", disk_high=100, disk_full=100
    )
    engine = NodeEngine(config)
    before = list(node._chosen)
    node.use(engine)
    yield Yard(config, engine.images, tmp_path)
    node._chosen[:] = before


@pytest.fixture
def image(yard: Yard) -> Image:
    def call(*words: str) -> str:
        out = io.StringIO()
        call_command("image", *words, stdout=out)
        return out.getvalue().rstrip("\n")

    return call


@pytest.fixture
def shop(yard: Yard) -> Yard:
    """Two releases of one app and one of another app, on the same base."""
    base = yard.layer("base" * 1000)
    stacks = yard.config.cache / "stacks"
    stacks.mkdir(parents=True)
    journal.write_json(stacks / f"{'a' * 64}.json", {"diff_id": base.diff_id, "name": "debian-13"})
    for name, text in (("shop:v1", "one"), ("shop:v2", "two"), ("blog:v1", "three")):
        yard.image(base, yard.layer(text), name=name)
    return yard


def test_ls_lists_own_and_shared_size(shop: Yard, image: Image) -> None:
    lines = image("ls").splitlines()
    assert lines[0].split() == ["NAME", "DIGEST", "LAYERS", "OWN", "SHARED", "USED"]
    assert [line.split()[0] for line in lines[1:4]] == ["blog:v1", "shop:v1", "shop:v2"]
    assert lines[4].startswith("3 images;")
    listed = json.loads(image("ls", "--json"))
    base = shop.store.layers_of(listed[0]["digest"])[0]
    assert {row["shared_bytes"] for row in listed} == {base.size}
    assert all(0 < row["own_bytes"] < 2000 for row in listed)


def test_history_lists_the_origin_and_the_other_apps_of_each_layer(
    shop: Yard, image: Image
) -> None:
    stories = json.loads(image("history", "shop:v2", "--json"))
    assert [row["created_by"] for row in stories] == ["App code", "debian-13"]
    assert [row["shared_with"] for row in stories] == [[], ["blog", "shop"]]
    assert "CREATED BY" in image("history", "shop:v2")


def test_an_image_is_found_by_name_digest_and_start_of_digest(shop: Yard, image: Image) -> None:
    digest = shop.store.find("shop:v1")
    assert digest is not None
    for reference in ("shop:v1", digest, digest.hex[:12]):
        details = json.loads(image("inspect", reference))
        assert (details["digest"], details["names"]) == (digest, ["shop:v1"])
        assert details["config"]["os"] == "linux"
    with pytest.raises(
        CommandError, match=r"There is no image nothing:1\. `manage\.py image ls` lists"
    ):
        image("inspect", "nothing:1")


def test_diff_lists_what_changed_and_whiteouts_delete(
    shop: Yard, image: Image, tmp_path: Path
) -> None:
    assert image("diff", "shop:v1", "shop:v2") == "C /app/text"
    assert image("diff", "shop:v1", "shop:v1") == "Both images contain the same files."
    tree = tmp_path / "over"
    (tree / "app").mkdir(parents=True)
    (tree / "app" / "new").touch()
    os.mknod(tree / "app" / "text", 0o20000, 0)
    digest = shop.store.write_image(
        [*shop.store.layers_of(shop.store.find("shop:v2") or ""), shop.store.add_layer(tree)],
        _config(),
    )
    assert json.loads(image("diff", "shop:v2", digest, "--json")) == [
        {"kind": "A", "path": "/app/new", "bytes": 0},
        {"kind": "D", "path": "/app/text", "bytes": 0},
    ]


def test_own_names_can_be_added_and_removed_but_not_the_platforms(shop: Yard, image: Image) -> None:
    image("tag", "shop:v1", "keep/this:1")
    assert shop.store.find("keep/this:1") == shop.store.find("shop:v1")
    assert "Removed the name" in image("rm", "keep/this:1")
    for words in (
        ("tag", "shop:v1", "shop:v9"),
        ("rm", "shop:v1"),
        ("tag", "shop:v1", "stack/mine"),
    ):
        with pytest.raises(CommandError, match="only the platform sets"):
            image(*words)
    with pytest.raises(CommandError, match="is not a valid image name"):
        image("tag", "shop:v1", "../x")
    with pytest.raises(CommandError, match="There is no name keep/this:1"):
        image("rm", "keep/this:1")


@pytest.mark.parametrize("form", [(), ("--docker",)])
def test_a_saved_image_can_be_loaded(
    shop: Yard, image: Image, tmp_path: Path, form: tuple[str, ...]
) -> None:
    file = str(tmp_path / "shop.tar")
    assert image("save", "shop:v1", file, *form).startswith("Wrote shop:v1 to")
    with pytest.raises(CommandError, match="exists already"):
        image("save", "shop:v1", file)
    image("load", file, "--name", "back:1", *form)
    digest = shop.store.find("back:1")
    assert digest is not None
    assert (shop.store.image(digest).layers[0] / "app" / "text").read_text() == "one"
    with pytest.raises(CommandError, match="There is no file"):
        image("load", "/nowhere.tar", "--name", "x:1")


@pytest.mark.django_db
def test_prune_lists_what_it_would_remove_and_then_removes_it(shop: Yard, image: Image) -> None:
    image("tag", "shop:v1", "keep/this:1")
    assert image("prune", "--dry-run").startswith("Would remove 0 images"), (
        "images that were used within ten minutes stay"
    )
    for path in (
        *shop.config.images.rglob("*"),
        *shop.config.layers.glob("*.json"),
        *shop.config.cache.rglob("*.json"),
    ):
        if path.is_file():
            os.utime(path, (time.time() - 3600,) * 2)
    assert image("prune", "--dry-run").startswith("Would remove 2 images")
    assert image("prune").startswith("removed 2 images, 2 layers")
    kept = shop.store.find("keep/this:1")
    assert kept is not None
    assert shop.store.image(kept).layers
    assert [row["names"] for row in json.loads(image("ls", "--json"))] == [["keep/this:1"]]


@pytest.mark.django_db
def test_df_adds_up(shop: Yard, image: Image) -> None:
    usage = json.loads(image("df", "--json"))
    assert usage["uses"][0] == {
        "what": "Images, compressed",
        "count": 3,
        "bytes": sum(path.stat().st_size for path in shop.store._blobs.iterdir()),
    }
    assert "The disk is " in image("df")


def test_verify_reports_damage_and_fails_and_repairs(shop: Yard, image: Image) -> None:
    assert image("verify") == "The content of every blob and layer matches its digest."
    digest = shop.store.find("shop:v1")
    assert digest is not None
    (shop.store.image(digest).layers[0] / "app" / "text").write_text("changed")
    with pytest.raises(SystemExit):
        image("verify")
    assert "unpacked again" in image("verify", "--repair")
    assert image("verify") == "The content of every blob and layer matches its digest."


def test_push_and_pull_read_a_registrys_password_from_standard_input(
    shop: Yard, image: Image, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("--user", USER, "--plain-http")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
    assert image("push", "shop:v1", f"{registry.address}/team/shop:1", *words).startswith(
        "Pushed sha256:"
    )
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
    image("pull", f"{registry.address}/team/shop:1", "--name", "team/shop:1", *words)
    assert shop.store.find("team/shop:1") == shop.store.find("shop:v1")
    monkeypatch.setattr("sys.stdin", io.StringIO("wrong\n"))
    with pytest.raises(CommandError, match="Check user name and password"):
        image("pull", f"{registry.address}/team/shop:1", "--name", "team/shop:1", *words)


def _config():
    from runtime.images.manifest import ImageConfig

    return ImageConfig()
