"""Rows of many apps, for tests and measurements of lists."""

from __future__ import annotations

from portal.apps import secrets
from portal.apps.models import App, Instance, ProcessFormation
from portal.builds.models import Build, BuildState, Source
from portal.images.models import Image, ImageLayer
from portal.releases.models import Release, Rollout, RolloutState
from tests.portal.conftest import People

RELEASES = 3
MIB = 2**20


def add_many(people: People, count: int) -> None:
    """Create apps with three releases, of which the last is live, and an instance. The last build
    of every hundredth app failed.
    """
    source = Source.objects.get_or_create(digest="0" * 64, defaults={"size": 1})[0]
    apps = App.objects.bulk_create(
        App(team=people.blue, name=f"app-{number}") for number in range(count)
    )
    ProcessFormation.objects.bulk_create(ProcessFormation(app=app, process="web") for app in apps)
    builds = Build.objects.bulk_create(
        Build(
            app=app,
            source=source,
            state=BuildState.SUCCEEDED,
            description=f"code {number}",
            created_by=people.owner,
        )
        for number in range(1, RELEASES + 1)
        for app in apps
    )
    config = secrets.encrypt_config({})
    releases = Release.objects.bulk_create(
        Release(
            app=build.app,
            number=number // count + 1,
            image=f"sha256:{number}",
            processes={"web": "run"},
            build=build,
            encrypted_config=config,
            description=f"Deploy {build.description}",
            created_by=people.owner,
        )
        for number, build in enumerate(builds)
    )
    Rollout.objects.bulk_create(
        Rollout(release=release, state=RolloutState.LIVE) for release in releases
    )
    for app, release in zip(apps, releases[-count:], strict=True):
        app.current_release = release
    App.objects.bulk_update(apps, ["current_release"], batch_size=500)
    Instance.objects.bulk_create(
        Instance(
            id=f"{app.name}-1",
            app=app,
            process="web",
            release_number=RELEASES,
            node="n",
            state="live",
        )
        for app in apps
    )
    Build.objects.bulk_create(
        Build(
            app=app,
            source=source,
            state=BuildState.FAILED,
            reason="pip failed",
            created_by=people.owner,
        )
        for app in apps[::100]
    )


def add_images() -> None:
    """Create the images of all releases. They share a base with all apps, a language with a third
    of them, and the packages with the other releases of their app.
    """
    releases = list(Release.objects.order_by("id"))
    images = Image.objects.bulk_create(Image(digest=release.image) for release in releases)
    ImageLayer.objects.bulk_create(
        ImageLayer(
            image=image,
            position=position,
            diff_id=f"sha256:{name}",
            digest=f"sha256:{name}",
            size=size,
            unpacked=2 * size,
            created_by=name,
        )
        for image, release in zip(images, releases, strict=True)
        for position, (name, size) in enumerate(
            (
                ("base", 40 * MIB),
                (f"language {release.app_id % 3}", 50 * MIB),
                (f"packages {release.app_id}", 10 * MIB),
                (f"code {release.pk}", MIB),
            )
        )
    )
