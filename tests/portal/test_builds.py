"""Sources and builds."""

import hashlib
import io
import os
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.files.uploadedfile import SimpleUploadedFile
from pytest_django import Settings

from portal.builds import sources
from portal.builds.models import Build, BuildState, Origin, Source
from portal.deploys import actions
from portal.deploys.access import build_for, builds_of, rollout_of
from portal.errors import Conflict, DiskFull, NotAllowed, NotFound, SourceRefused, SourceTooLarge
from portal.quotas.models import Quota
from portal.releases.models import Release
from tests.portal.conftest import People
from tests.portal.shipyard import PROCESSES, deploy, submit_archive, upload

IMAGE = "sha256:" + "0" * 64


def test_a_source_is_stored_by_digest_and_the_same_bytes_once(people: People) -> None:
    first, second = upload(), upload()
    assert first == second
    assert first.digest == hashlib.sha256(b"an archive").hexdigest()
    assert sources.path_of(first).read_bytes() == b"an archive"
    assert upload(name="hello.tar").digest == first.digest
    assert Source.objects.count() == 2, "another ending is another way to unpack the same bytes"
    assert not list(django_settings.INCOMING.glob("upload-*")), "nothing stays behind"


@pytest.mark.parametrize("name", ["hello.rar", "hello", "", "hello.py", ".."])
def test_unsupported_archives_are_refused_and_supported_types_are_listed(
    people: People, name: str
) -> None:
    file = SimpleUploadedFile("x.zip", b"x")
    with pytest.raises(SourceRefused) as refusal:
        sources.store_upload(file, filename=name)
    assert ".tar.zst" in refusal.value.hint


def test_only_the_last_part_of_a_path_is_kept_as_file_name(people: People) -> None:
    assert (
        upload(name="hello.zip").filename
        == sources.store_upload(
            SimpleUploadedFile("x", b"an archive"), filename="../../a\\hello.zip"
        ).filename
    )


def test_an_empty_file_is_refused(people: People) -> None:
    with pytest.raises(SourceRefused, match="is empty"):
        upload(b"")


def test_an_upload_over_the_limit_is_refused_while_it_arrives(
    people: People, settings: Settings
) -> None:
    settings.MAX_UPLOAD = 1000
    with pytest.raises(SourceTooLarge):
        upload(b"x" * 1001)


def test_files_of_interrupted_uploads_are_removed_by_age(people: People) -> None:
    django_settings.INCOMING.mkdir(parents=True, exist_ok=True)
    old, young = django_settings.INCOMING / "body-old", django_settings.INCOMING / "body-young"
    for path in (old, young):
        path.touch()
    os.utime(old, (0, 0))
    assert sources.sweep_incoming() == 1
    assert not old.exists()
    young.unlink()


def test_a_file_made_by_the_portal_is_stored_and_the_original_remains(
    people: People, tmp_path: Path
) -> None:
    django_settings.INCOMING.mkdir(parents=True, exist_ok=True)
    draft = django_settings.INCOMING / "git-test.tar"
    draft.write_bytes(b"tar")
    source = sources.store_file(draft, filename="hello-abc.tar")
    draft.unlink()
    assert sources.path_of(source).read_bytes() == b"tar"


def test_a_build_goes_from_queued_to_a_live_release(people: People) -> None:
    app = people.app()
    build = submit_archive(people.owner, app)
    assert (build.state, build.description) == (BuildState.QUEUED, "hello.zip")
    rollout = deploy(build)
    build.refresh_from_db()
    app.refresh_from_db()
    assert (build.state, build.image, build.processes) == (BuildState.SUCCEEDED, IMAGE, PROCESSES)
    assert build.started_at is not None
    assert build.finished_at is not None
    assert rollout is not None
    assert rollout_of(build) == rollout
    assert app.current_release == rollout.release
    assert app.current_release.description == "Deploy hello.zip"


def test_a_person_of_another_team_can_neither_deploy_nor_see_builds(people: People) -> None:
    app = people.app()
    build = submit_archive(people.owner, app)
    with pytest.raises(NotAllowed):
        actions.submit(people.stranger, app=app, source=upload(), origin=Origin.API)
    with pytest.raises(NotFound):
        build_for(people.stranger, "hello", build.pk)
    with pytest.raises(NotFound):
        build_for(people.owner, "hello", build.pk + 1)
    assert list(builds_of(app)) == [build]


def test_a_build_with_a_lost_worker_can_be_resumed(people: People) -> None:
    build = submit_archive(people.owner, people.app())
    assert actions.mark_building(build)
    build.refresh_from_db()
    began = build.started_at
    assert actions.mark_building(build)
    build.refresh_from_db()
    assert build.started_at == began


def test_a_cancelled_build_stays_cancelled(people: People) -> None:
    app = people.app()
    build = submit_archive(people.owner, app)
    actions.mark_building(build)
    actions.cancel(people.owner, build=build)
    assert actions.succeed(build, IMAGE, PROCESSES) is None
    assert not actions.fail(build, "late")
    assert not actions.mark_building(build)
    build.refresh_from_db()
    assert (build.state, build.reason) == (BuildState.CANCELLED, "owner cancelled it.")
    assert not Release.objects.exists()
    with pytest.raises(Conflict):
        actions.cancel(people.owner, build=build)


def test_a_failed_build_has_its_reason_and_makes_no_release(people: People) -> None:
    build = submit_archive(people.owner, people.app())
    actions.mark_building(build)
    assert actions.fail(build, "No Procfile.")
    assert not actions.fail(build, "again")
    build.refresh_from_db()
    assert (build.state, build.reason) == (BuildState.FAILED, "No Procfile.")
    assert not Release.objects.exists()


def test_an_older_build_that_ends_later_does_not_replace_newer_code(people: People) -> None:
    app = people.app()
    older, newer = (
        submit_archive(people.owner, app, b"one"),
        submit_archive(people.owner, app, b"two"),
    )
    deploy(newer)
    # as if it had not been cancelled when the newer build was submitted
    Build.objects.filter(pk=older.pk).update(state=BuildState.BUILDING)
    assert actions.succeed(older, IMAGE, PROCESSES) is None
    older.refresh_from_db()
    assert older.state == BuildState.SUCCEEDED
    assert [release.build for release in Release.objects.all()] == [newer]


def test_a_build_that_ends_after_its_app_was_deleted_makes_no_release(people: People) -> None:
    app = people.app()
    build = submit_archive(people.owner, app)
    actions.mark_building(build)
    from portal.lifecycle.app_actions import delete_app

    delete_app(people.owner, app=app, typed_name="hello")
    assert actions.succeed(build, IMAGE, PROCESSES) is None


def test_any_file_object_can_be_stored(people: People) -> None:
    from django.core.files.uploadedfile import InMemoryUploadedFile

    file = InMemoryUploadedFile(io.BytesIO(b"abc"), None, "a.tar.gz", None, 3, None)
    assert sources.store_upload(file, filename="a.tar.gz").size == 3


def test_a_team_has_at_most_twenty_open_builds(people: People) -> None:
    Quota.objects.filter(team=people.blue).update(apps=30)
    builds = [submit_archive(people.owner, people.app(f"app-{number}")) for number in range(20)]
    last = people.app("last")
    with pytest.raises(Conflict, match="Team blue already has 20 builds queued or running"):
        submit_archive(people.owner, last)
    submit_archive(people.owner, builds[0].app)  # replaces one of the twenty
    actions.cancel(people.owner, build=builds[1])
    submit_archive(people.owner, last)


def test_a_deploy_is_refused_with_the_reason_if_the_disk_is_full(
    people: People, settings: Settings
) -> None:
    source, app = upload(), people.app()
    settings.DISK_FULL = 1
    with pytest.raises(
        DiskFull, match=r"so no new builds start\. Running apps are not affected"
    ) as refusal:
        actions.submit(people.owner, app=app, source=source, origin=Origin.API)
    assert refusal.value.status == 507


def test_only_old_unneeded_archives_are_removed(people: People) -> None:
    needed, old, young = upload(b"needed"), upload(b"old"), upload(b"young")
    foreign = django_settings.SOURCES / "notes.txt"
    foreign.touch()
    for path in (sources.path_of(needed), sources.path_of(old), foreign):
        os.utime(path, (0, 0))
    removed, freed = sources.collect({needed.digest})
    assert removed >= 1
    assert freed >= 3
    assert sources.path_of(needed).exists()
    assert sources.path_of(young).exists()
    assert foreign.exists()
    assert not sources.path_of(old).exists()
    foreign.unlink()


def test_an_archive_that_is_uploaded_again_counts_as_new(people: People) -> None:
    source = upload(b"again")
    os.utime(sources.path_of(source), (0, 0))
    assert upload(b"again") == source
    assert sources.collect(set())[0] >= 0
    assert sources.path_of(source).read_bytes() == b"again"
    assert not list(django_settings.INCOMING.glob(f"{source.digest}*")), "nothing stays behind"
