"""Tests of builds whose source is a Git repository."""

from __future__ import annotations

from portal.builds.models import BuildState, Origin
from portal.deploys import actions as builds
from runtime.contract.git_address import GitAddress
from workers.bridge import credentials, translate
from workers.tasks.build import build

ADDRESS = "https://git.example.com/me/app.git"


def submitted(plant, app):
    owner = plant.crew.owner
    builds.remember_repository(
        owner, app=app, address=ADDRESS, branch="dev", token="a secret token"
    )
    return builds.submit_repository(owner, app=app, origin=Origin.API)


def test_the_node_gets_the_address_and_the_token(plant):
    row = submitted(plant, plant.app())
    request = translate.build_request(row, plant.config.sources)
    assert request.repository == GitAddress(url=ADDRESS, ref="dev", token="a secret token")
    assert "a secret token" not in repr(request)
    assert credentials.secrets_of(row) == ("a secret token",)


def test_a_repository_is_built_like_an_archive_and_the_token_is_deleted(plant):
    row = submitted(plant, plant.app())
    build(row.pk)
    row.refresh_from_db()
    assert row.state == BuildState.SUCCEEDED, row.reason
    assert row.encrypted_credentials is None
