"""The content of pages: helpful empty states, states in words, failures in parts, and commands with
this host's names."""

import json
import re
from collections.abc import Callable

from django.test import Client
from django.urls import resolve

from portal.builds.models import Build


def text_of(client: Client, path: str) -> str:
    return client.get(path).content.decode()


def test_the_first_page_of_a_new_team_shows_the_ways_to_deploy(stranger: Client) -> None:
    page = text_of(stranger, "/")
    for way in ("Upload an archive", "Push with git", "Image or API"):
        assert way in page
    assert "newcomer@localhost" in page
    assert "/git/dock/my-app.git" in page
    assert "All apps" not in page


def test_a_person_without_a_team_is_asked_to_create_one(
    sample_portal: None, signed_in_as: Callable[[str], Client]
) -> None:
    from portal.lifecycle.account_actions import create_person

    create_person(None, username="alone", password="a quiet harbour 8")
    assert "Create a team first" in text_of(signed_in_as("alone"), "/")


def test_apps_that_need_attention_are_listed_first(member: Client) -> None:
    _, _, page = text_of(member, "/").partition("<main")
    assert page.index("Needs attention") < page.index("reports") < page.index("All apps")
    attention = page[page.index("Needs attention") : page.index("All apps")]
    assert "chat" not in attention  # it is changing
    assert "docs-site" not in attention


def test_an_app_without_a_deploy_shows_how_to_deploy(member: Client) -> None:
    page = text_of(member, "/apps/empty-hull")
    assert "Nothing is deployed yet." in page
    assert 'type="file"' in page
    assert "git push slipway" in page
    assert "No process types yet" in text_of(member, "/apps/empty-hull/settings/scale")
    assert "No config vars yet" in text_of(member, "/apps/empty-hull/settings/variables")
    assert "No log lines yet" in text_of(member, "/apps/empty-hull/logs")
    assert "No deploys yet" in text_of(member, "/apps/empty-hull/deploys")


def test_the_url_in_the_api_command_is_the_real_one(member: Client) -> None:
    page = text_of(member, "/apps/empty-hull")
    address = re.search(r"archive=@\S+ http://[^/]+(/\S*/empty-hull/builds)", page)
    assert address is not None
    assert resolve(address[1]).url_name == "deploy"
    assert "archive" in text_of_contract(member, address[1].replace("empty-hull", "{name}"))


def text_of_contract(client: Client, path: str) -> str:
    """Return the API's own description of a POST to this path."""
    return json.dumps(client.get("/api/openapi.json").json()["paths"][path]["post"])


def test_an_image_of_another_registry_is_deployed_by_its_name(member: Client) -> None:
    assert 'action="/apps/empty-hull/deploy/image"' in text_of(member, "/apps/empty-hull")
    assert 'action="/apps/shop/deploy/image"' in text_of(member, "/apps/shop")
    refused = member.post("/apps/shop/deploy/image", {"image": "an image"})
    assert refused.status_code == 400
    assert "This is not a valid image name" in refused.content.decode()
    sent = member.post(
        "/apps/shop/deploy/image",
        {"image": "registry.example/me/app:1", "username": "me", "password": "a token"},
    )
    build = Build.objects.get(description="image registry.example/me/app:1")
    assert sent.headers["Location"] == f"/apps/shop/builds/{build.pk}"
    assert "a token" not in text_of(member, sent.headers["Location"])


def test_the_overview_shows_the_instances_and_the_last_failure(member: Client) -> None:
    page = text_of(member, "/apps/shop")
    assert "v3 is live, 3 of 3 instances healthy." in page
    assert "v4 did not go live" in page
    assert "Roll back to v2" in page
    assert "http://shop.slipway.localhost:8080" in page


def test_a_release_without_a_build_shows_its_steps(member: Client) -> None:
    page = text_of(member, "/apps/shop/deploys")
    assert "Steps<span" in page
    assert "v3 live" in page


def test_a_failed_build_shows_what_failed_why_and_the_fix(member: Client) -> None:
    build = Build.objects.get(app__name="reports")
    page = text_of(member, f"/apps/reports/builds/{build.pk}")
    assert "The build failed." in page
    assert "There is no version of pandas==9.9." in page
    assert "Name a version that exists" in page
    assert "Deploy again" in page
    # the error message of the resolver, from the log
    assert "No solution found when resolving dependencies" in page
    assert "sse-connect" not in page  # it has ended: there are no further events


def test_a_running_build_can_be_watched_and_cancelled(member: Client) -> None:
    build = Build.objects.get(state="building")
    path = f"/apps/chat/builds/{build.pk}"
    page = text_of(member, path)
    assert f'sse-connect="{path}/events?after=' in page
    answer = member.post(f"{path}/cancel", follow=True)
    assert "The build was cancelled." in answer.content.decode()
    build.refresh_from_db()
    assert build.state == "cancelled"
    assert "has already ended" in member.post(f"{path}/cancel", follow=True).content.decode()


def test_values_are_masked_until_revealed_one_by_one(member: Client) -> None:
    masked = text_of(member, "/apps/shop/settings/variables")
    assert "SECRET_KEY" in masked
    assert "not-so-secret" not in masked
    revealed = text_of(member, "/apps/shop/settings/variables?reveal=SECRET_KEY")
    assert "not-so-secret" in revealed
    assert "postgresql://" not in revealed
    row = member.get("/apps/shop/settings/config/SECRET_KEY?reveal")
    assert "not-so-secret" in row.content.decode()
    assert "no-store" in row["Cache-Control"]


def test_a_log_is_shown_as_text_whatever_the_app_prints(member: Client) -> None:
    from django.conf import settings

    from tests.portal.pages.fleet import write_log

    write_log(settings.APP_LOGS / "shop.log", [("web.1", "stdout", "<script>alert(1)</script>")])
    page = text_of(member, "/apps/shop/logs")
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert(1)" in b"".join(member.get("/apps/shop/logs/file")).decode()


def test_the_team_page_shows_quota_usage(member: Client) -> None:
    page = text_of(member, "/team/harbour")
    assert "2.2 GiB of 6 GiB" in page
    assert 'aria-label="CPU: 2.25 CPU of 4 CPU"' in page


def test_the_admin_page_shows_the_node_and_teams_by_usage(admin: Client) -> None:
    page = text_of(admin, "/admin")
    assert "allocated" in page
    assert page.index(">harbour<") < page.index(">pier<") < page.index(">dock<")


def test_the_server_renders_the_chosen_theme(member: Client) -> None:
    assert 'data-theme="system"' in text_of(member, "/")
    answer = member.post("/theme", {"theme": "dark", "next": "/apps/shop"})
    assert answer["Location"] == "/apps/shop"
    assert 'data-theme="dark"' in text_of(member, "/")
    assert (
        member.post("/theme", {"theme": "dark", "next": "//elsewhere.example/"})["Location"] == "/"
    )


def test_the_jobs_of_an_app_are_on_its_page_with_their_last_runs(member: Client) -> None:
    page = text_of(member, "/apps/shop")
    jobs = page[page.index('id="jobs"') :]
    for words in (
        "digest",
        "0 7 * * MON-FRI",
        "Europe/Berlin",
        "python manage.py sweep",
        "Run now",
    ):
        assert words in jobs
    for words in (
        "cron.digest",
        "SMTPServerDisconnected",
        "Failed",
        "Succeeded",
        "Skipped",
        "The previous run had not ended.",
        "1.7 s",
    ):
        assert words in jobs
    without_jobs = text_of(member, "/apps/docs-site")
    assert "Run a command" in without_jobs
    assert "Run now" not in without_jobs
    assert 'id="jobs"' not in text_of(member, "/apps/empty-hull")


def test_run_now_queues_a_run_and_confirms_it(member: Client, stranger: Client) -> None:
    assert stranger.post("/apps/shop/jobs/sweep/run").status_code == 404
    answer = member.post("/apps/shop/jobs/sweep/run", follow=True)
    assert "sweep was started." in answer.content.decode()
    assert "by member" in answer.content.decode()
    again = member.post("/apps/shop/jobs/sweep/run", follow=True)
    assert "sweep is already running." in again.content.decode()
    assert member.post("/apps/shop/jobs/nothing/run").status_code == 404


def test_the_settings_show_the_manifest(member: Client) -> None:
    page = text_of(member, "/apps/shop/settings")
    section = page[page.index("From slipway.toml") :]
    for words in (
        "SESSION_KEY",
        "a secret, generated once",
        "Signs sessions",
        "2 instances, 256 MiB",
        "python manage.py loaddata demo",
        "4.2 s",
    ):
        assert words in section
    page = text_of(member, "/apps/shop/settings/health")
    assert (
        "Active check: from slipway.toml:</span> GET /healthz, timeout 5 s, every 10 s, 3 attempts."
        in page
    )
    assert "An instance that has not become healthy after 60 s is stopped." in page
    assert "From slipway.toml" not in text_of(member, "/apps/docs-site/settings")
