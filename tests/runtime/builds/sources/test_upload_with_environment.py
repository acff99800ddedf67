"""Tests of builds of what a developer has in a folder: environments, packages, version control."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from runtime.errors import BadArchive
from tests.runtime.builds.conftest import Forge
from tests.runtime.builds.sources.test_procfile_shell import TELLS_ITS_ENVIRONMENT
from tests.runtime.builds.test_builds import get, served


def packed(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(folder, arcname=".")
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Procfile").write_text("web: python3 app.py\n")
    (tmp_path / "app.py").write_text(TELLS_ITS_ENVIRONMENT)
    return tmp_path


@pytest.mark.parametrize("name", [".venv", "venv"])
def test_an_upload_with_an_environment_is_built_without_it(
    name: str, folder: Path, forge: Forge
) -> None:
    subprocess.run([sys.executable, "-m", "venv", folder / name, "--without-pip"], check=True)
    for made in ("node_modules/x/index.js", "__pycache__/app.pyc", ".git/config"):
        (folder / made).parent.mkdir(parents=True)
        (folder / made).write_text("")
    assert (folder / name / "bin" / "python3").is_symlink()
    built = forge.builder.build(forge.request_of(packed(folder)), forge.log.append)
    (line,) = [line for line in forge.log if line.startswith("Left out of the source: ")]
    assert all(made in line for made in (name, "node_modules", "__pycache__", ".git"))
    with served(forge, built) as url:
        assert get(url)[0] == 200


def test_a_link_to_elsewhere_is_refused_with_its_name(folder: Path, forge: Forge) -> None:
    (folder / "data").symlink_to("/var/lib/data")
    with pytest.raises(BadArchive, match=r"The link 'data' points to '/var/lib/data', outside"):
        forge.builder.build(forge.request_of(packed(folder)), forge.log.append)
