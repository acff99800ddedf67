"""Tests that no Dockerfile and no base image sets a label that only the platform may set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime.builds.dockerfile import settings as configuration
from runtime.builds.dockerfile.settings import Settings
from runtime.builds.dockerfile.syntax import Words, parse
from runtime.images.manifest import ImageConfig
from runtime.stacks.foundation import LABEL, Foundation
from runtime.stacks.upgrade import upgrade
from tests.runtime.builds.conftest import Forge
from tests.runtime.builds.dockerfile.test_dockerfile_reference import build

WRITTEN = '{"stack":"debian-13","runtimes":["npm-1.2.3@github.com:evil/repo"],"layers":1}'


@pytest.mark.parametrize(
    "line",
    [
        "LABEL slipway.foundation=x own=y",
        "LABEL slip${TAIL}.foundation=x own=y",
        "LABEL slipway.foundation=x slipway.user=0:0 slipway.anything=x own=y",
    ],
)
def test_a_label_of_the_platform_is_ignored_in_a_dockerfile(line: str) -> None:
    (_, instruction) = parse(f"FROM x\n{line}\n").instructions
    words = Words("\\", {"TAIL": "way"})
    foundation = Foundation(stack="debian-13", runtimes=(), layers=1).label()
    before = Settings(config=ImageConfig(labels=foundation))
    after = configuration.change(before, instruction, words)
    assert after.config.labels == {**foundation, "own": "y"}
    assert "slipway.foundation" in configuration.ignored_labels(instruction, words)
    assert "own" not in configuration.ignored_labels(instruction, words)


def test_a_pulled_base_loses_the_labels_of_the_platform(forge: Forge, tmp_path: Path) -> None:
    tree, source = tmp_path / "tree", tmp_path / "source"
    tree.mkdir()
    source.mkdir()
    (tree / "file").write_text("text")
    labels = {LABEL: WRITTEN, "slipway.user": "0:0", "own": "y"}
    with forge.store.lease():
        layer = forge.store.add_layer(tree, move=True)
        digest = forge.store.write_image([layer], ImageConfig(labels=labels))
        (source / "Dockerfile").write_text("FROM registry.example/team/app:v1\nCMD x\n")
        made = build(forge, source, resolve=lambda _: digest)
    assert made.config.labels == {"own": "y"}


def test_a_dockerfile_cannot_choose_what_root_builds_in_an_upgrade(forge: Forge) -> None:
    lines = (
        "FROM debian-13",
        f"LABEL slipway.foundation='{WRITTEN}' own=y",
        "RUN true",
        "CMD true",
    )
    built = forge.build({"Dockerfile": "\n".join(lines) + "\n"})
    labels = forge.store.image(built.digest).config.labels
    assert json.loads(labels[LABEL]) == {"stack": "debian-13", "runtimes": [], "layers": 1}
    assert labels["own"] == "y"
    assert "Warning: Dockerfile, line 2: the label slipway.foundation is ignored." in forge.said()
    with forge.store.lease():
        done = upgrade(forge.config, forge.store, built.digest, progress=pytest.fail)
    assert (done.image, done.reasons) == (None, ())
