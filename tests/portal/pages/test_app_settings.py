"""The pages that describe, rename and transfer an app."""

from django.test import Client

from portal.accounts.models import Person
from portal.apps.models import App
from portal.lifecycle.app_identity import rename_app


def test_a_description_is_shown_on_home_and_overview_as_text(member: Client) -> None:
    answer = member.post(
        "/apps/shop/settings/description", {"description": "Sells <b>boats</b>"}, follow=True
    )
    assert "The description was saved." in answer.text
    for path in ("/", "/apps/shop", "/apps/shop/settings"):
        page = member.get(path).text
        assert "Sells &lt;b&gt;boats&lt;/b&gt;" in page, path
        assert "<b>boats" not in page, path
    answer = member.post("/apps/shop/settings/description", {"description": "a\u202eb"})
    assert answer.status_code == 422
    assert "change the direction of text" in answer.text


def test_the_page_says_what_happens_to_the_old_address_before_a_rename(member: Client) -> None:
    page = member.get("/apps/shop/settings").text
    assert "answers 404. No other app gets this name" in page
    answer = member.post("/apps/shop/settings/name", {"name": "store"}, follow=True)
    assert "shop is named store now." in answer.text
    assert answer.redirect_chain[-1][0] == "/apps/store/settings/general"


def test_pages_of_the_former_name_lead_to_the_new_ones(member: Client, stranger: Client) -> None:
    person = Person.objects.get(username="member")
    rename_app(person, app=App.objects.get(name="shop"), name="store")
    assert member.get("/apps/shop").headers["Location"] == "/apps/store"
    answer = member.get("/apps/shop/logs?q=a%20b")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/apps/store/logs?q=a%20b")
    assert stranger.get("/apps/shop").status_code == 404
    assert member.post("/apps/shop/restart").status_code == 404
    page = member.get("/apps/store/logs").text
    assert "the payment provider answered 503" in page, "the log is that of the app"
    assert "requests/s" in member.get("/").text, "and its metrics"


def test_a_refused_name_is_marked_at_its_field(member: Client) -> None:
    answer = member.post("/apps/shop/settings/name", {"name": "<script>"})
    assert answer.status_code == 422
    assert "is not a valid hostname" in answer.text
    assert "<script>&" not in answer.text


def test_a_transfer_asks_for_the_name_and_moves_the_app(admin: Client, member: Client) -> None:
    form = {"team": "pier", "typed_name": "sho"}
    answer = admin.post("/apps/docs-site/settings/team", form)
    assert answer.status_code == 422
    assert "Type docs-site to transfer it." in answer.text
    form["typed_name"] = "docs-site"
    answer = admin.post("/apps/docs-site/settings/team", form, follow=True)
    assert "docs-site belongs to team pier now." in answer.text
    assert member.get("/apps/docs-site").status_code == 404


def test_a_person_without_another_team_sees_how_to_get_one(member: Client) -> None:
    page = member.get("/apps/shop/settings").text
    assert "You are not in another team." in page
    answer = member.post("/apps/shop/settings/team", {"team": "pier", "typed_name": "shop"})
    assert answer.status_code == 422
    assert App.objects.get(name="shop").team.name == "harbour"
