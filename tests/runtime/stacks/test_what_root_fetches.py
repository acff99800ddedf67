"""Tests of what mmdebstrap and npm, which run as root on the host, refuse to fetch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runtime.config import NodeConfig
from runtime.errors import BadStack, ProcessFailed
from runtime.stacks.bootstrap import bootstrap
from runtime.stacks.definition import DEBIAN_13
from runtime.stacks.packages.npm_registry import pack, view


@pytest.mark.parametrize("name", ["./evil.deb", "?essential", "libpq5=1", "libpq5 evil", "git-"])
def test_mmdebstrap_gets_only_names_of_packages(tmp_path: Path, name: str) -> None:
    config, tree = NodeConfig(name="tfetch", state=tmp_path / "state"), tmp_path / "tree"
    for stack, more in ((DEBIAN_13, (name,)), (replace(DEBIAN_13, packages=(name,)), ())):
        with pytest.raises(BadStack, match="is not the name of a Debian package"):
            bootstrap(config, stack, more, tree, pytest.fail)
    assert not tree.exists()


def test_npm_fetches_from_no_git_repository() -> None:
    with pytest.raises(ProcessFailed, match="EALLOWGIT"):
        view("npm@git+file:///nonexistent/repository.git")


def test_npm_needs_no_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker may not write to its home folder."""
    home = tmp_path / "home"
    home.write_text("a file, so that no folder can be made in it")
    monkeypatch.setenv("HOME", str(home))
    pack({"ms": "2.1.3"}, tmp_path)
    assert (tmp_path / "ms-2.1.3.tgz").exists()
