"""The sections of an app's settings, and the import and export of config vars."""

import pytest
from django.test import Client

from portal.apps import dotenv
from portal.apps.access import config_of
from portal.apps.models import App
from portal.pages.settings.sections import SECTIONS


def test_every_section_is_in_the_menu_and_marks_its_own_entry(member: Client) -> None:
    for section in SECTIONS:
        page = member.get(f"/apps/shop/settings/{section.name}").content.decode()
        for other in SECTIONS:
            assert f'href="/apps/shop/settings/{other.name}"' in page
        assert f'/settings/{section.name}" aria-current="page"' in page
    assert member.get("/apps/shop/settings/nothing").status_code == 404


@pytest.mark.parametrize(
    ("form", "sent", "section"),
    [
        ("traffic/limits", {"body_limit": "10M"}, "limits#limits"),
        ("traffic/visitors", {"allowed": "203.0.113.0/24"}, "access#visitors"),
        ("traffic/pages", {"maintenance": "on"}, "error-pages#pages"),
        ("settings/branch", {"branch": "release"}, "general"),
        ("settings/config", {"name": "COLOUR", "value": "blue"}, "variables"),
        ("domains/addresses", {"canonical_host": "", "hsts_seconds": "0"}, "domains"),
    ],
)
def test_a_saved_form_returns_to_its_section(
    member: Client, form: str, sent: dict[str, str], section: str
) -> None:
    answer = member.post(f"/apps/shop/{form}", sent)
    assert (answer.status_code, answer["Location"]) == (302, f"/apps/shop/settings/{section}")


def test_a_refused_form_shows_its_section_with_the_typed_value(member: Client) -> None:
    answer = member.post("/apps/shop/traffic/visitors", {"allowed": "my office"})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "my office" in page
    assert '/settings/access" aria-current="page"' in page


def test_an_import_shows_the_changes_before_it_saves_them(member: Client) -> None:
    app = App.objects.get(name="shop")
    before = config_of(app)
    lines = 'SECRET_KEY=another\nFEATURE_NEW_CHECKOUT=1\nCOLOUR="two words"'
    page = member.post("/apps/shop/settings/config/import", {"lines": lines}).content.decode()
    for kind, name in (
        ("new", "COLOUR"),
        ("changed", "SECRET_KEY"),
        ("same", "FEATURE_NEW_CHECKOUT"),
    ):
        assert f'<li class="change-{kind}"><span class="mono break-all">{name}</span>' in page
    assert config_of(app) == before
    refused = member.post("/apps/shop/settings/config/import", {"lines": "A=1\nnonsense"})
    assert refused.status_code == 422
    assert "Line 2 is not of the form NAME=value: nonsense" in refused.content.decode()


def test_an_export_is_read_back_unchanged(member: Client) -> None:
    member.post("/apps/shop/settings/config", {"name": "KEY", "value": '-- "a"\n\\n $B # c'})
    answer = member.get("/apps/shop/settings/config/export")
    assert answer["Content-Disposition"] == 'attachment; filename="shop.env"'
    assert "no-store" in answer["Cache-Control"]
    assert dotenv.read(answer.content.decode()) == config_of(App.objects.get(name="shop"))


def test_variables_are_searched_by_name(member: Client) -> None:
    page = member.get("/apps/shop/settings/variables?q=secret").content.decode()
    assert "config-SECRET_KEY" in page
    assert "config-DATABASE_URL" not in page
    assert "No name contains" in member.get("/apps/shop/settings/variables?q=none").content.decode()


def test_the_records_of_a_domain_are_exact(member: Client) -> None:
    member.post("/apps/shop/domains/add", {"host": "cart.example.org"})
    page = member.get("/apps/shop/settings/domains").content.decode()
    assert "_slipway.cart.example.org" in page
    assert "shop.slipway.localhost" in page
    assert "CNAME" in page


def test_the_traffic_page_describes_the_way_of_a_request(member: Client) -> None:
    member.post("/apps/shop/traffic/limits", {"body_limit": "10M", "client_rate": "5"})
    page = member.get("/apps/shop/traffic").content.decode()
    assert "Timeout 300 s, body up to 10 MiB, 5 requests/s for one client." in page
    assert 'href="/apps/shop/settings/limits"' in page
