"""Tests of invalid archives.

The build fails with its reason in the portal, and the previous release still serves.
"""

from pathlib import Path

import pytest

from tests.system.conftest import TEAM
from tests.system.support import archives

APP = "hardened"
HOSTILE = archives.hostile()


@pytest.fixture(scope="module")
def hardened(box, admin) -> str:
    admin.create_app(TEAM, APP)
    admin.deployed(APP, archives.example("hello"))
    return APP


@pytest.mark.parametrize("kind", HOSTILE)
def test_an_archive_with(kind, hardened, box, admin):
    filename, make, words = HOSTILE[kind]
    refusal = admin.upload(hardened, make(), filename)
    if refusal.is_success:
        number = int(refusal.json()["id"])
        build = admin.built(hardened, number, within=60)
        assert build["state"] == "failed"
        reason = build["reason"]
        assert words in admin.pages.get(f"/apps/{hardened}/builds/{number}").text.replace(
            "&#x27;", "'"
        ), "the portal's page shows the reason"
    else:
        assert 400 <= refusal.status_code < 500
        reason = refusal.text
    assert words in reason
    assert box.ask(hardened).status_code == 200
    assert not [
        path
        for path in (Path("/outside"), Path("/etc/x"), box.config.state / "outside")
        if path.exists()
    ]


@pytest.mark.parametrize("folders", [1, 2])
def test_a_single_top_folder_is_unwrapped_and_several_are_not(folders, box, admin):
    """Two folders with an app each are not an app.

    The reason names the files that a build looks for.
    """
    name = f"folders-{folders}"
    admin.create_app(TEAM, name)
    archive = archives.zipped(
        {f"site{number}/index.html": "<p>found</p>" for number in range(folders)}
    )
    build = admin.built(name, admin.deploy(name, archive, "site.zip"))
    if folders == 1:
        assert build["state"] == "succeeded", build["reason"]
        admin.settled(name, 1)
        assert "found" in box.ask(name).text
    else:
        assert build["state"] == "failed"
        assert "index.html" in build["reason"]
        assert box.ask(name).status_code == 503
