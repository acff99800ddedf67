"""Tests of layers that an earlier version unpacked: their opaque folders stay opaque."""

import os

from runtime.config import NodeConfig
from runtime.images.layers.opaque_marks import renew_marks


def test_opaque_folders_of_earlier_versions_get_the_current_attribute(tmp_path):
    config = NodeConfig(name="tmarks", state=tmp_path / "state", run=tmp_path / "run")
    hidden = config.layers / ("a" * 64) / "app" / "hidden"
    hidden.mkdir(parents=True)
    (hidden.parent / "link").symlink_to("/etc")
    os.setxattr(hidden, "trusted.overlay.opaque", b"y")
    assert renew_marks(config) == 1
    assert os.listxattr(hidden) == ["user.overlay.opaque"]
    assert renew_marks(config) == 0, "it runs once per state folder"
