"""Images in the portal: access, jobs, tags and releases of images, by API and by page."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from portal.apps.models import App, Instance
from portal.builds.models import Build
from portal.errors import Conflict, NotAllowed, NotFound, ValueRefused
from portal.images import actions, jobs
from portal.images.access import image_for, images_of, live_views, named, view_of
from portal.images.facts import ImageView, picture
from portal.images.models import ImageJob, ImageLayer, ImageTag, JobState
from portal.images.sums import compared, summed
from portal.releases.models import Release
from tests.portal.conftest import People
from tests.portal.pages.images import CHANGES, answer, image
from tests.portal.shipyard import deploy, submit_archive
from tests.portal.test_api import Caller


def released(people: People, app: App, number: int) -> Release:
    build: Build = submit_archive(
        people.owner if app.team == people.blue else people.stranger,
        app,
        f"{app.name} {number}".encode(),
    )
    rollout = deploy(build, image=image(app.name, number))
    assert rollout is not None
    app.refresh_from_db()
    return rollout.release


def instance(app: App) -> Instance:
    return Instance.objects.create(
        id=f"{app.name}-web-1a2b3c4d",
        app=app,
        process="web",
        release_number=1,
        node="here",
        state="live",
    )


@pytest.fixture
def shop(people: People) -> App:
    """An app with two releases. `docs-site` is of the same team with the same base, `chat` is of
    another team."""
    app = people.app("shop")
    for number in (1, 2):
        released(people, app, number)
    released(people, people.app("docs-site"), 3)
    from portal.lifecycle.app_actions import create_app

    released(people, create_app(people.stranger, team=people.red, name="chat"), 4)
    return app


def view(app: App, name: str) -> ImageView:
    found = view_of(app, named(app, name).digest)
    assert found is not None
    return found


def test_a_layer_lists_the_teams_apps_by_name_and_others_as_a_number(shop: App) -> None:
    code, dependencies, python, debian = view(shop, "v2").layers
    assert (code.name, code.apps, code.others, code.images) == ("App code", (), 0, 1)
    assert (dependencies.apps, dependencies.others, dependencies.images) == (
        (),
        0,
        2,
    ), "in v1 too, which is the same app"
    assert (python.apps, python.others) == (("docs-site",), 0)
    assert (debian.apps, debian.others) == (
        ("docs-site",),
        1,
    ), "chat is nobody this team may know of"
    assert (view(shop, "v2").own, view(shop, "v2").shared) == (
        code.facts.size,
        view(shop, "v2").size - code.facts.size,
    )


def test_a_deleted_image_shares_nothing(shop: App, people: People) -> None:
    docs = App.objects.get(name="docs-site")
    docs.deleted_at = timezone.now()
    docs.save()
    assert view(shop, "v2").layers[2].apps == ()


def test_the_picture_puts_apps_that_share_all_below_on_one_block(shop: App, people: People) -> None:
    (ground,) = picture(live_views(images_of(people.owner)))
    assert (ground.name, ground.apps, ground.others) == ("debian-13", ("docs-site", "shop"), 1)
    (python,) = ground.above
    assert python.name == "python-3.13"
    assert [(block.name, block.tops) for block in python.above] == [
        ("App code", ("docs-site",)),
        (python.above[1].name, ()),
    ]
    assert python.above[1].above[0].tops == ("shop",)
    sums = summed(list(live_views(images_of(people.owner)).values()))
    assert sums.stored < sums.alone
    assert sums.layers == 5


def test_small_layers_of_a_long_chain_are_drawn_as_one_block(people: People) -> None:
    app = people.app("shop")
    release = released(people, app, 1)
    row = ImageLayer.objects.filter(image__digest=release.image, position=0).get().image
    ImageLayer.objects.bulk_create(
        ImageLayer(
            image=row,
            position=10 + number,
            diff_id=f"sha256:{number}",
            digest=f"sha256:{number}",
            size=10 + number,
            unpacked=0,
        )
        for number in range(20)
    )
    (block,) = picture(live_views(images_of(people.owner)))
    drawn = []
    while True:
        drawn.append((block.name, block.more))
        if not block.above:
            break
        (block,) = block.above
    assert drawn[-1] == ("19 smaller layers", 19)
    assert len(drawn) == 6
    assert block.tops == ("shop",)


def test_the_layers_of_two_images_are_compared_immediately(shop: App) -> None:
    found = compared(view(shop, "v1"), view(shop, "v2"))
    assert found is not None
    assert [line.where for line in found.layers] == ["after", "before", "both", "both", "both"]
    assert compared(None, view(shop, "v2")) is None


def test_a_job_is_done_once_by_the_node_and_then_answered_from_its_row(
    shop: App, people: People
) -> None:
    owner, before, after = people.owner, named(shop, "v1"), named(shop, "v2")
    job = actions.compare(owner, before=before, after=after)
    assert actions.compare(owner, before=before, after=after) == job
    assert "Comparing" in jobs.sentence_of(job)
    answer(job, {**CHANGES, "added": 3000})
    job.refresh_from_db()
    assert jobs.sentence_of(job) == "3,000 added, 1 changed, 1 deleted."
    assert jobs.left_out(job) == 2997
    assert actions.compare(owner, before=before, after=after) == job, "images do not change"
    assert not actions.fail(job, "late"), "it is over"
    web = instance(shop)
    first = actions.look_at_instance(owner, instance=web)
    answer(first, CHANGES)
    assert actions.look_at_instance(owner, instance=web) != first, "an instance goes on writing"
    with pytest.raises(NotAllowed):
        actions.compare(people.stranger, before=before, after=after)


def test_the_open_jobs_of_a_team_are_limited(shop: App, people: People) -> None:
    for number in range(actions.MOST_OPEN):
        actions.commit(
            people.owner,
            instance=Instance.objects.create(
                id=f"w{number}", app=shop, process="web", release_number=1, node="n", state="live"
            ),
            tag="x",
            deploy=False,
        )
    with pytest.raises(Conflict, match="4 open image jobs"):
        actions.save(people.owner, image=named(shop, "v1"), form="oci-archive")


def test_a_commit_tags_an_image_and_can_make_a_release(shop: App, people: People) -> None:
    job = actions.commit(people.owner, instance=instance(shop), tag="with-data", deploy=True)
    digest = image("shop", 99)
    assert actions.begin(job)
    assert actions.finish_commit(job, digest, 5000)
    assert not actions.finish_commit(job, digest, 5000)
    job.refresh_from_db()
    release = Release.objects.get(app=shop, number=3)
    assert (release.image, release.processes) == (
        digest,
        Release.objects.get(app=shop, number=2).processes,
    )
    assert jobs.sentence_of(job) == "Saved as with-data, and deployed as v3."
    assert image_for(people.owner, "shop", "with-data").digest == digest


def test_a_tag_keeps_an_image_after_its_release_and_its_name_is_validated(
    shop: App, people: People, settings: object
) -> None:
    settings.KEPT_RELEASES = 1  # type: ignore[attr-defined]  # pytest-django's settings accept any name
    assert not named(shop, "v1").is_kept
    with pytest.raises(Conflict, match="has been deleted"):
        actions.add_tag(people.owner, image=named(shop, "v1"), tag="old")
    actions.add_tag(people.owner, image=named(shop, "v2"), tag="good")
    released(people, shop, 7)
    assert named(shop, "v2").is_kept
    assert (
        actions.deploy(people.owner, image=named(shop, "good")).release.image
        == named(shop, "v2").digest
    )
    for name in ("v3", "build-1", "latest", "Upper", "a/b", "", "-x", "x" * 65):
        with pytest.raises(ValueRefused):
            actions.add_tag(people.owner, image=named(shop, "good"), tag=name)
    ImageTag.objects.bulk_create(
        ImageTag(app=shop, name=f"t{number}", digest="sha256:0")
        for number in range(actions.MOST_TAGS - 1)
    )
    with pytest.raises(Conflict, match="20 tags"):
        actions.add_tag(people.owner, image=named(shop, "good"), tag="more")
    actions.remove_tag(people.owner, app=shop, tag="good")
    with pytest.raises(NotFound):
        named(shop, "good")


def test_results_and_archives_are_deleted_after_their_time(shop: App, people: People) -> None:
    settings.DOWNLOADS.mkdir(exist_ok=True)
    saved, compared_ = (
        actions.save(people.owner, image=named(shop, "v1"), form="oci-archive"),
        actions.look_at_instance(people.owner, instance=instance(shop)),
    )
    for job in (saved, compared_):
        answer(job, {"filename": "shop-v1-oci.tar", "bytes": 3})
        ImageJob.objects.filter(pk=job.pk).update(finished_at=timezone.now() - timedelta(hours=2))
    jobs.archive_of(saved).write_bytes(b"tar")
    jobs.forget_old()
    assert not jobs.archive_of(saved).exists()
    assert list(ImageJob.objects.all()) == [compared_]


def test_the_api_from_list_to_download(shop: App, people: People) -> None:
    settings.DOWNLOADS.mkdir(exist_ok=True)
    owner, stranger = Caller(people.token(people.owner)), Caller(people.token(people.stranger))
    lines = owner("get", "/images")[1]
    assert [(line["app"], line["name"]) for line in lines] == [
        ("docs-site", "v1"),
        ("shop", "v2"),
        ("shop", "v1"),
    ]
    assert owner("put", "/apps/shop/tags/good", {"image": "v2"})[0] == 204
    shown = owner("get", "/apps/shop/images/good")[1]
    assert shown["tags"] == ["good"]
    assert [layer["created_by"] for layer in shown["layers"]][-1] == "debian-13"
    assert (shown["layers"][-1]["shared_with"], shown["layers"][-1]["shared_with_others"]) == (
        ["docs-site"],
        1,
    )
    assert "chat" not in json.dumps(shown)
    status, job = owner("post", "/apps/shop/images/v1/compare", {"to": "v2"})
    assert (status, job["state"], job["changes"]) == (202, "queued", [])
    answer(ImageJob.objects.get(pk=job["id"]), CHANGES)
    done = owner("get", f"/apps/shop/image-jobs/{job['id']}")[1]
    assert (done["state"], done["added"], done["changes"][0]) == (
        "done",
        3,
        {"kind": "C", "path": "/app/shop/checkout.py", "bytes": 4211},
    )
    web = instance(shop)
    assert owner("post", f"/apps/shop/instances/{web.pk}/diff")[0] == 202
    assert (
        owner("post", f"/apps/shop/instances/{web.pk}/commit", {"tag": "kept"})[1]["kind"]
        == "commit"
    )
    status, job = owner("post", "/apps/shop/images/v2/save", {"format": "oci-archive"})
    assert owner("get", f"/apps/shop/image-jobs/{job['id']}/file")[0] == 404
    row = ImageJob.objects.get(pk=job["id"])
    answer(row, {"filename": "shop-v2-oci.tar", "bytes": 3})
    jobs.archive_of(row).write_bytes(b"tar")
    for client, path in (
        (
            Client(headers={"Authorization": f"Bearer {people.token(people.owner)}"}),
            f"/api/v1/apps/shop/image-jobs/{row.pk}/file",
        ),
        (signed_in(people), f"/apps/shop/image-jobs/{row.pk}/file"),
    ):
        found = client.get(path)
        assert b"".join(found) == b"tar"
        assert "shop-v2-oci.tar" in found["Content-Disposition"]
    assert owner("post", "/apps/shop/images/v2/save", {"format": "rar"})[0] == 400
    assert owner("post", "/apps/shop/images/good/deploy")[1]["release"] == 3
    assert owner("delete", "/apps/shop/tags/good")[0] == 204
    for method, path in (
        ("get", "/apps/shop/images/v2"),
        ("get", f"/apps/shop/image-jobs/{row.pk}"),
        ("delete", "/apps/shop/tags/good"),
    ):
        assert stranger(method, path)[0] == 404


def signed_in(people: People) -> Client:
    client = Client()
    client.force_login(people.owner)
    return client


def test_pages_start_jobs_show_results_and_refuse(shop: App, people: People) -> None:
    client, web = signed_in(people), instance(shop)
    page = client.get("/apps/shop/compare?before=v1&after=v2").content.decode()
    assert "Compare files" in page
    page = client.post(
        "/apps/shop/compare/files", {"before": "v1", "after": "v2"}, follow=True
    ).content.decode()
    assert "Comparing the files." in page
    assert "/events" in page
    answer(ImageJob.objects.get(), CHANGES)
    page = client.get("/apps/shop/compare?before=v1&after=v2").content.decode()
    assert "/app/shop/legacy.py" in page
    assert "image-jobs" not in page, "it is over: nothing more comes"
    assert client.get("/apps/shop/compare?before=v1").status_code == 404
    assert client.get("/apps/shop/compare?before=v1&after=v9").status_code == 404
    assert "Filesystem changes" in client.get(f"/apps/shop/instances/{web.pk}").content.decode()
    page = client.post(f"/apps/shop/instances/{web.pk}/commit", {"tag": "latest"})
    assert (page.status_code, "latest is reserved for releases." in page.content.decode()) == (
        422,
        True,
    )
    client.post(f"/apps/shop/instances/{web.pk}/commit", {"tag": "kept", "deploy": "on"})
    job = ImageJob.objects.get(kind="commit")
    assert job.arguments == {"instance": web.pk, "tag": "kept", "deploy": True}
    actions.begin(job)
    actions.fail(job, "The instance made more than 500,000 files.\nFewer dependencies help.")
    assert (
        "Fewer dependencies help." in client.get(f"/apps/shop/instances/{web.pk}").content.decode()
    )
    assert client.get("/apps/shop/instances/gone").status_code == 404
    page = client.post("/apps/shop/images/v2/tag", {"tag": "good"}, follow=True).content.decode()
    assert "now has the tag good" in page
    assert "and 1 app of other teams" in client.get("/images").content.decode()
    assert "was removed" in client.post("/apps/shop/tags/good/remove", follow=True).content.decode()
    assert ImageJob.objects.filter(state=JobState.FAILED).count() == 1
