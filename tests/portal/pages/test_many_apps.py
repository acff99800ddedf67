"""Pages and lists of all apps need the same number of queries for few apps and for many."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from portal.apps.models import App, Instance, ProcessFormation
from portal.builds.models import Build, BuildState, Source
from portal.images.access import APPS_ON_A_PAGE
from portal.images.actions import write_facts
from portal.images.facts import Config, LayerFacts
from portal.images.models import ImageTag
from portal.pages.apps.home import ON_A_PAGE
from portal.releases.models import Release, Rollout, RolloutState
from tests.portal.conftest import People
from tests.portal.pages.many import add_images, add_many

CONFIG = Config(
    environment={},
    working_directory="/",
    user="",
    entrypoint=[],
    command=[],
    labels={},
    exposed_ports=[],
    volumes=[],
    stop_signal="",
)
FEW, MANY = 5, 50


def layer(name: str) -> LayerFacts:
    return LayerFacts(
        diff_id=f"sha256:{name}", digest=f"sha256:{name}", size=1000, unpacked=2000, created_by=name
    )


def add_apps(people: People, numbers: range) -> None:
    """Create apps with two releases (the second is live), a failed build, an instance, and a tag of
    another image.
    """
    source = Source.objects.get_or_create(digest="0" * 64, defaults={"size": 1})[0]
    for number in numbers:
        app = App.objects.create(team=people.blue, name=f"app-{number}")
        ProcessFormation.objects.create(app=app, process="web", count=1)
        for version in (1, 2):
            image = f"sha256:{number}-{version}"
            write_facts(image, [layer("base"), layer(f"code-{number}-{version}")], CONFIG)
            build = Build.objects.create(
                app=app,
                source=source,
                state=BuildState.SUCCEEDED,
                description=f"code {version}",
                created_by=people.owner,
            )
            release = Release.objects.create(
                app=app,
                number=version,
                image=image,
                processes={"web": "run"},
                build=build,
                encrypted_config=b"",
                description="Deploy",
                created_by=people.owner,
            )
            Rollout.objects.create(release=release, state=RolloutState.LIVE)
        app.current_release = release
        app.save()
        Build.objects.create(
            app=app,
            source=source,
            state=BuildState.FAILED,
            description="broken",
            created_by=people.owner,
        )
        Instance.objects.create(
            id=f"{app.name}-1", app=app, process="web", release_number=2, node="n", state="live"
        )
        write_facts(f"sha256:{number}-kept", [layer("base")], CONFIG)
        ImageTag.objects.create(
            app=app, name="kept", digest=f"sha256:{number}-kept", created_by=people.owner
        )


SHOWN = {"/": ON_A_PAGE, "/images": APPS_ON_A_PAGE}  # apps on a page; the API lists all


def queries_of(client: Client, path: str, *, apps: int) -> list[str]:
    """Return the database queries of a page that shows all apps."""
    with CaptureQueriesContext(connection) as asked:
        answer = client.get(path)
    assert answer.status_code == 200
    # pages show the first apps by name
    shown = sorted(f"app-{number}" for number in range(apps))
    shown = shown[: SHOWN.get(path, apps)]
    assert all(name in answer.text for name in shown)
    return [query["sql"] for query in asked.captured_queries]


@pytest.mark.parametrize("path", ["/", "/images", "/api/v1/apps", "/api/v1/images"])
def test_a_page_of_fifty_apps_needs_the_same_queries_as_one_of_five(
    people: People, path: str
) -> None:
    client = (
        Client(headers={"Authorization": f"Bearer {people.token(people.owner)}"})
        if path.startswith("/api")
        else Client()
    )
    client.force_login(people.owner)
    add_apps(people, range(FEW))
    client.get(path)  # reads things that are cached, such as the session
    few = queries_of(client, path, apps=FEW)
    add_apps(people, range(FEW, MANY))
    many = queries_of(client, path, apps=MANY)
    assert len(many) == len(few), "\n".join(many)
    assert len(many) <= 25
    if path == "/":
        assert client.get(path).text.count("Deploy broken") == ON_A_PAGE


def test_the_page_of_images_has_pages_and_a_search(people: People) -> None:
    add_apps(people, range(MANY))
    client = Client()
    client.force_login(people.owner)
    pages = -(-MANY // APPS_ON_A_PAGE)
    headings = [
        client.get(f"/images?page={number}").text.count('id="images-app-')
        for number in range(1, pages + 1)
    ]
    assert sum(headings) == MANY
    assert max(headings) == APPS_ON_A_PAGE
    found = client.get("/images?q=APP-4").text
    assert found.count('id="images-app-') == APPS_ON_A_PAGE
    assert f"Apps 1 to {APPS_ON_A_PAGE} of 11." in found
    assert "No app matches" in client.get("/images?q=nothing").text


def test_the_page_of_images_costs_the_same_for_a_layer_of_thousands(people: People) -> None:
    add_many(people, 2_000)
    add_images()
    client = Client()
    client.force_login(people.owner)
    client.get("/images")
    rows = 0

    def count(execute, sql, params, many, context):
        nonlocal rows
        cursor = execute(sql, params, many, context)
        if "images_imagelayer" in sql:
            rows += max(len(params or ()), 0)
        return cursor

    with connection.execute_wrapper(count):
        answer = client.get("/images")
    assert rows < 1_000, "it asked for the images of a layer that all apps have"
    assert len(answer.content) < 60_000
    assert "Saved by sharing" in answer.text


def test_only_the_newest_images_of_an_app_are_listed_among_others(people: People) -> None:
    add_apps(people, range(2))
    app = App.objects.get(name="app-0")
    for number in range(3, 8):
        Release.objects.create(
            app=app, number=number, image=f"sha256:more-{number}", encrypted_config=b""
        )
    client = Client()
    client.force_login(people.owner)
    page = client.get("/images").text
    assert "4 more images" in page
    assert "/apps/app-0/images/v2" in page, "the live release is always listed"
    assert "/apps/app-0/images/v1" not in page
    assert "/apps/app-0/images/v1" in client.get("/images?app=app-0").text
