"""Pure tests of the versions of npm, pnpm and yarn that a source may require."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.errors import BadSource
from runtime.stacks.packages.npm_registry import pack
from runtime.stacks.packages.package_manager import PackageManager
from tests.runtime.builds.languages.test_plan_tools import node


@pytest.mark.parametrize(
    "version",
    [
        "1.2.3-x.tgz",
        "1.2.3-x.TAR.gz",
        "1.2.3-x.tar-gz",
        "1.2.3-x_y",
        "1.2.3-01",
        "1.2.3-x..y",
        "01.2.3",
        "1.2.3@github.com:evil/repo",
        "1.2.3-a/b",
        "1.2.3-a:b",
        "1.2.3\n",
        "\u0661.2.3",
        "1.2.3-" + "a" * 200,
    ],
)
def test_a_version_that_npm_could_read_as_a_file_or_an_address_is_refused(version: str) -> None:
    with pytest.raises(ValueError, match="is not a version"):
        PackageManager(tool="npm", version=version)
    with pytest.raises(BadSource, match="is not a version of npm"):
        pack({"npm": version}, Path("/nonexistent"))
    if not version.endswith("\n"):  # packageManager is read without the spaces around it
        with pytest.raises(BadSource, match="packageManager in package.json"):
            node({"packageManager": f"npm@{version}"})


@pytest.mark.parametrize("version", ["9.0.0-alpha.5", "4.0.0-rc.50", "10.0.0-x-y.7", "1.2.3-0"])
def test_a_prerelease_of_a_package_manager_is_a_version(version: str) -> None:
    decided = node({"packageManager": f"pnpm@{version}"})
    assert PackageManager(tool="pnpm", version=version) in decided.also
