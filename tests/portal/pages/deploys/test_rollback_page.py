"""The page before a rollback: what will change, and whose config vars the new release gets."""

import re

import pytest
from django.test import Client

from portal.apps.config import config_of
from portal.apps.models import App
from portal.apps.secrets import encrypt_config
from portal.releases.access import config_of_release
from portal.releases.models import Release
from portal.releases.rollback_preview import ProcessChange, config_changes, process_changes

OLD = {"COLOR": "red", "GONE": "1"}


@pytest.fixture
def shop(member: Client) -> App:
    """App shop, whose first release has other config vars and process types than today."""
    app = App.objects.get(name="shop")
    Release.objects.filter(app=app, number=1).update(
        encrypted_config=encrypt_config(OLD), processes={"web": "old command"}
    )
    return app


def test_the_page_names_changed_config_vars_and_process_types_without_values(
    member: Client, shop: App
) -> None:
    page = member.get("/apps/shop/releases/1/rollback").text
    for text in ("COLOR</span> is added", "GONE</span> is added", "SECRET_KEY</span> is removed"):
        assert text in page
    assert "not-so-secret" not in page
    assert "old command" in page
    assert re.search(r'value="current" checked', page)
    assert 'href="/apps/shop/releases/2/rollback"' in member.get("/apps/shop").text


def test_a_rollback_keeps_todays_config_vars_unless_the_old_ones_are_chosen(
    member: Client, shop: App
) -> None:
    today = config_of(shop)
    member.post("/apps/shop/rollback", {"number": 1})
    assert config_of_release(Release.objects.filter(app=shop).first()) == today
    assert config_of(shop) == today
    member.post("/apps/shop/rollback", {"number": 1, "config": "release"})
    assert config_of_release(Release.objects.filter(app=shop).first()) == OLD
    assert config_of(shop) == OLD


def test_only_differences_are_listed() -> None:
    now, after = {"A": "1", "B": "1", "C": "1"}, {"B": "2", "C": "1", "D": "1"}
    assert config_changes(now, after) == (("A", "removed"), ("B", "changed"), ("D", "added"))
    assert process_changes({"web": "a"}, {"web": "b"}) == (
        ProcessChange(process="web", now="a", after="b"),
    )


@pytest.mark.parametrize(
    ("who", "path", "action"),
    [
        ("member", "/apps/shop", "/apps/shop/restart"),
        ("member", "/apps/shop/settings", "/apps/shop/restart"),
        ("member", "/apps/shop/settings/domains", "/apps/shop/domains/shop.example.com/remove"),
        ("admin", "/team/harbour", "/team/harbour/people/member/remove"),
        ("admin", "/admin", "/admin/stacks"),
    ],
)
def test_a_destructive_button_asks_first(
    request: pytest.FixtureRequest, who: str, path: str, action: str
) -> None:
    page = request.getfixturevalue(who).get(path).text
    forms = list(re.finditer(f'<form method="post" action="{re.escape(action)}"', page))
    assert forms
    for form in forms:
        before = page[: form.start()]
        assert before.rindex('<details class="menu ask') > before.rfind("</details>")
