"""Tests of Dockerfiles that start from an image of this machine's own registry."""

from __future__ import annotations

import io
import zipfile

from portal.builds.models import Build, BuildState
from portal.lifecycle.app_actions import create_app
from tests.portal.shipyard import submit_archive
from tests.workers.images.test_pushed_images import dock, parts_of, push, receive
from workers.bridge.own_images import own_images
from workers.tasks.build import build

__all__ = ["dock"]


def packed(dockerfile: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("Dockerfile", dockerfile)
    return buffer.getvalue()


def test_a_team_starts_from_its_own_image_by_tag_digest_and_release(dock):
    base = dock.app()
    entries, diff_ids, blobs = parts_of(dock)
    receive(base, *blobs)
    row, _ = push(dock, base, entries, diff_ids, Cmd=["/base"], Env=["FROM_BASE=yes"])
    build(row.pk)
    digest = row.source.digest
    host = own_images(row, dock.engine).host
    app = create_app(dock.crew.owner, team=base.team, name="above")
    for reference in (":latest", f"@sha256:{digest}", ":v1"):
        text = f"FROM {host}/{base.team.name}/{base.name}{reference}\nCOPY Dockerfile /\n"
        sent = submit_archive(dock.crew.owner, app, packed(text))
        source = dock.config.sources / sent.source.digest
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_bytes(packed(text))
        build(sent.pk)
        sent.refresh_from_db()
        assert sent.state == BuildState.SUCCEEDED, sent.reason
        assert sent.processes == {"web": "/base"}
        image = dock.engine.images.image(sent.image)
        assert image.config.environment["FROM_BASE"] == "yes"


def test_an_image_of_another_team_is_like_a_missing_one(dock):
    base = dock.app()
    entries, diff_ids, blobs = parts_of(dock)
    receive(base, *blobs)
    row, _ = push(dock, base, entries, diff_ids, Cmd=["/base"])
    find = own_images(row, dock.engine).find
    assert find(f"{base.team.name}/{base.name}", "latest") is not None
    theirs = create_app(dock.crew.stranger, team=dock.crew.red, name="theirs")
    foreign = own_images(
        submit_archive(dock.crew.stranger, theirs, b"an archive"), dock.engine
    ).find
    for name in (f"{base.team.name}/{base.name}", f"red/{base.name}", "red/none", "x"):
        for reference in ("latest", f"sha256:{row.source.digest}", "v1", "no tag!", "sha256:x"):
            assert foreign(name, reference) is None, (name, reference)
    assert Build.objects.exists()
