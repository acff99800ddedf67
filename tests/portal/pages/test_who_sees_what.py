"""Access to pages: the intended people see them, and others do not learn that they exist."""

import re

import pytest
from django.test import Client

from portal.builds.models import Build

PAGES = [
    "/",
    "/new",
    "/teams/new",
    "/account",
    "/team/harbour",
    "/apps/shop",
    "/apps/shop/deploys",
    "/apps/shop/releases/1/rollback",
    "/apps/shop/logs",
    "/apps/shop/metrics",
    "/apps/shop/settings",
    "/apps/shop/settings/variables?reveal=SECRET_KEY",
    "/apps/shop/settings/config/export",
    "/apps/shop/settings/variables",
    "/apps/shop/settings/scale",
    "/apps/shop/settings/health",
    "/apps/shop/settings/domains",
    "/apps/shop/settings/rollout",
    "/apps/shop/settings/sleep",
    "/apps/shop/settings/limits",
    "/apps/shop/settings/routes",
    "/apps/shop/settings/access",
    "/apps/shop/settings/error-pages",
    "/apps/shop/settings/danger",
    "/apps/shop/traffic",
    "/apps/empty-hull",
    "/apps/empty-hull/deploys",
    "/apps/empty-hull/logs",
    "/apps/empty-hull/settings",
    "/apps/chat",
    "/apps/reports",
    "/images",
    "/apps/shop/images/v2",
    "/apps/shop/images/before-checkout",
    "/apps/shop/compare?before=v1&after=v2",
    "/apps/shop/instances/shop-web-0",
]
OPEN_PAGES = ["/codes", "/codes/H12"]
ADMIN_PAGES = ["/admin", "/admin/teams/harbour", "/admin/teams/dock"]


@pytest.mark.parametrize("path", PAGES)
def test_a_member_sees_every_page_of_their_team(member: Client, path: str) -> None:
    assert member.get(path).status_code == 200


@pytest.mark.parametrize("path", [path for path in PAGES if path.startswith(("/apps/", "/team/"))])
def test_a_stranger_gets_not_found(stranger: Client, path: str) -> None:
    assert stranger.get(path).status_code == 404


@pytest.mark.parametrize("path", [*PAGES, *ADMIN_PAGES])
def test_visitors_without_sign_in_are_redirected_to_sign_in_and_back(
    sample_portal: None, path: str
) -> None:
    answer = Client().get(path)
    assert answer.status_code == 302
    assert answer["Location"].startswith("/sign-in?next=/")


@pytest.mark.parametrize("path", OPEN_PAGES)
def test_pages_for_visitors_of_an_app_need_no_sign_in(
    sample_portal: None, member: Client, path: str
) -> None:
    assert Client().get(path).status_code == member.get(path).status_code == 200


@pytest.mark.parametrize("path", ADMIN_PAGES)
def test_only_admins_see_the_admin_pages(admin: Client, member: Client, path: str) -> None:
    assert admin.get(path).status_code == 200
    refused = member.get(path)
    assert refused.status_code == 403
    assert "Only an admin" in refused.content.decode()


def test_every_build_has_a_page(member: Client) -> None:
    for build in Build.objects.filter(app__team__name="harbour"):
        answer = member.get(f"/apps/{build.app.name}/builds/{build.pk}")
        assert answer.status_code == 200
        assert build.description in answer.content.decode()


def test_a_build_is_not_found_under_another_app(member: Client) -> None:
    build = Build.objects.filter(app__name="shop").first()
    assert build is not None
    assert member.get(f"/apps/chat/builds/{build.pk}").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "deploy",
        "restart",
        "rollback",
        "delete",
        "settings/config",
        "settings/config/many",
        "settings/formation",
        "settings/health",
    ],
)
def test_a_stranger_cannot_change_anything(stranger: Client, path: str) -> None:
    assert (
        stranger.post(f"/apps/shop/{path}", {"number": 1, "typed_name": "shop"}).status_code == 404
    )


@pytest.mark.parametrize(
    "path",
    [
        "restart",
        "rollback",
        "deploy",
        "delete",
        "settings/config",
        "settings/formation",
    ],
)
def test_a_get_request_changes_nothing(member: Client, path: str) -> None:
    assert member.get(f"/apps/shop/{path}").status_code == 405


@pytest.mark.parametrize("path", ["/sign-in", *OPEN_PAGES, *PAGES])
def test_no_page_needs_files_of_other_sites(member: Client, path: str) -> None:
    """The content security policy forbids inline scripts, styles and handlers, and everything from
    other hosts."""
    answer = (member if path in PAGES else Client()).get(path)
    html = answer.content.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=\"/static/)", html)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=\"", html)
    assert not re.search(
        r"(?:src|href)=\"(?:https?:)?//(?!(?:shop|docs-site|chat|reports|empty-hull)\.slipway\.localhost)",
        html,
    )
    assert "default-src 'self'" in answer["Content-Security-Policy"]
    assert len(html) < 150_000


def test_an_unknown_url_shows_not_found(member: Client) -> None:
    answer = member.get("/nowhere")
    assert answer.status_code == 404
    assert "Page not found" in answer.content.decode()


def test_only_an_admin_moves_apps_to_newer_stacks(admin: Client, member: Client) -> None:
    assert member.post("/admin/stacks").status_code == 403
    assert "Only an admin" in member.post("/apps/shop/stack", follow=True).content.decode()
    assert "Move to the newest stack" not in member.get("/apps/shop/deploys").content.decode()
    assert "Move to the newest stack" in admin.get("/apps/shop/deploys").content.decode()
    assert (
        "a new release appears here" in admin.post("/apps/shop/stack", follow=True).content.decode()
    )
    assert "being checked" in admin.post("/admin/stacks", follow=True).content.decode()
