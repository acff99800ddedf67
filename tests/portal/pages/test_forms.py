"""Forms perform one action and confirm it. A refused form keeps the input and marks the wrong
field."""

import pytest
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from portal.accounts.models import Membership, Person, Team, Token
from portal.apps.access import config_of
from portal.apps.models import App, ProcessFormation
from portal.builds.models import Build
from portal.pages.quotas.fields import SizeField
from portal.releases.models import Release


def archive(name: str = "hello.zip", data: bytes = b"PK not really") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, data)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("admin", "reserved for the platform"),
        ("Shop!", "not a valid hostname"),
        ("shop", "is already in use"),
        ("a" * 50, "10 too many"),
    ],
)
def test_a_refused_name_stays_in_the_field(member: Client, name: str, words: str) -> None:
    answer = member.post("/new", {"name": name, "team": "harbour"})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert f'value="{name}"' in page
    assert 'aria-invalid="true"' in page
    assert words in page


def test_the_hint_shows_the_url_of_an_app_or_why_the_name_is_refused(member: Client) -> None:
    assert (
        "http://boat.slipway.localhost:8080" in member.get("/new/hint?name=boat").content.decode()
    )
    assert "is already in use" in member.get("/new/hint?name=shop").content.decode()
    assert "reserved for the platform" in member.get("/new/hint?name=api").content.decode()


def test_an_app_is_not_created_in_another_team(member: Client) -> None:
    assert member.post("/new", {"name": "boat", "team": "dock"}).status_code == 422
    assert not App.objects.filter(name="boat").exists()


def test_a_new_app_can_include_an_archive(stranger: Client) -> None:
    answer = stranger.post("/new", {"name": "boat", "team": "dock", "archive": archive()})
    build = Build.objects.get(app__name="boat")
    assert answer["Location"] == f"/apps/boat/builds/{build.pk}"


def test_a_new_app_exists_even_if_its_archive_is_refused(stranger: Client) -> None:
    answer = stranger.post(
        "/new", {"name": "boat", "team": "dock", "archive": archive("boat.rar")}, follow=True
    )
    assert "Unsupported archive type: boat.rar." in answer.content.decode()
    assert App.objects.filter(name="boat").exists()


def test_a_plain_upload_redirects_to_its_build(member: Client) -> None:
    answer = member.post("/apps/empty-hull/deploy", {"archive": archive()})
    build = Build.objects.get(app__name="empty-hull")
    assert answer["Location"] == f"/apps/empty-hull/builds/{build.pk}"
    assert (build.description, build.origin) == ("hello.zip", "upload")


def test_an_upload_by_script_gets_the_url_or_the_error_as_json(member: Client) -> None:
    taken = member.post(
        "/apps/empty-hull/deploy", {"archive": archive()}, headers={"Accept": "application/json"}
    )
    assert taken.status_code == 201
    assert taken.json()["location"].startswith("/apps/empty-hull/builds/")
    refused = member.post(
        "/apps/empty-hull/deploy",
        {"archive": archive("hello.exe")},
        headers={"Accept": "application/json"},
    )
    assert refused.status_code == 400
    assert "Unsupported archive type" in refused.json()["error"]


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (archive("notes.txt"), "Unsupported archive type"),
        (archive(data=b""), "is empty"),
        (None, "Choose a file"),
    ],
)
def test_a_refused_upload_shows_the_reason_next_to_the_drop_zone(
    member: Client, file: SimpleUploadedFile | None, words: str
) -> None:
    answer = member.post("/apps/empty-hull/deploy", {"archive": file} if file else {})
    assert answer.status_code == 400
    assert words in answer.content.decode()


def test_a_config_var_is_added_changed_and_removed(member: Client) -> None:
    app = App.objects.get(name="shop")
    answer = member.post(
        "/apps/shop/settings/config", {"name": "COLOUR", "value": "blue\r\ngreen"}, follow=True
    )
    assert "COLOUR is set." in answer.content.decode()
    assert "is being rolled out" in answer.content.decode()
    assert config_of(app)["COLOUR"] == "blue\ngreen"
    member.post("/apps/shop/settings/config", {"name": "COLOUR", "value": "blue", "remove": "1"})
    assert "COLOUR" not in config_of(app)


def test_a_bad_config_var_stays_in_the_form(member: Client) -> None:
    answer = member.post("/apps/shop/settings/config", {"name": "2FAST", "value": "a long value"})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert 'value="2FAST"' in page
    assert "a long value" in page
    assert "The first is not a digit" in page


def test_the_lines_of_an_env_file_are_set_together(member: Client) -> None:
    lines = "# a comment\nexport ONE=1\nTWO='two words'\n\nTHREE=a=b"
    member.post("/apps/shop/settings/config/many", {"lines": lines})
    config = config_of(App.objects.get(name="shop"))
    assert (config["ONE"], config["TWO"], config["THREE"]) == ("1", "two words", "a=b")
    refused = member.post("/apps/shop/settings/config/many", {"lines": "FOUR=4\nnonsense"})
    assert "Line 2 is not of the form NAME=value: nonsense" in refused.content.decode()
    assert "FOUR" not in config_of(App.objects.get(name="shop"))


def formation(**changes: str) -> dict[str, str]:
    values = {
        "web-count": "2",
        "web-cpu": "0.5 CPU",
        "web-memory": "512 MiB",
        "worker-count": "1",
        "worker-cpu": "250m",
        "worker-memory": "256M",
    }
    return values | {name.replace("_", "-"): value for name, value in changes.items()}


def test_scaling_accepts_the_units_people_type(member: Client) -> None:
    answer = member.post(
        "/apps/shop/settings/formation",
        formation(web_count="3", web_cpu="0.25", web_memory="1.5g"),
        follow=True,
    )
    assert "Scaled." in answer.content.decode()
    row = ProcessFormation.objects.get(app__name="shop", process="web")
    assert (row.count, row.cpu, row.memory) == (3, 250, 1536 * 2**20)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"web_count": "30"}, "is 20 instances in total"),
        ({"web_memory": "3G"}, "at most 2 GiB of memory"),
        ({"web_memory": "lots"}, "Invalid size: lots. Use for example 512M"),
        ({"worker_cpu": "fast"}, "Invalid CPU amount: fast"),
    ],
)
def test_scaling_beyond_the_quota_keeps_the_input(
    member: Client, changes: dict[str, str], words: str
) -> None:
    answer = member.post("/apps/shop/settings/formation", formation(**changes))
    page = answer.content.decode()
    assert answer.status_code == 422
    assert words in page
    assert all(f'value="{value}"' in page for value in changes.values())


def test_the_preview_shows_the_limit_before_it_is_exceeded(member: Client) -> None:
    page = member.get(
        "/apps/shop/settings/formation/preview", formation(web_count="12")
    ).content.decode()
    assert "CPU: 2.25 CPU of 4 CPU, 7.25 CPU after this change" in page
    assert "text-failed" in page


def test_a_rollback_makes_a_release_like_an_old_one(member: Client) -> None:
    answer = member.post("/apps/shop/rollback", {"number": 1}, follow=True)
    assert "Rolling back to v1 as v5" in answer.content.decode()
    assert Release.objects.get(app__name="shop", number=5).description == "Roll back to v1"
    assert member.post("/apps/shop/rollback", {"number": "one"}).status_code == 404


def test_a_restart_is_confirmed_and_refused_without_running_instances(member: Client) -> None:
    assert "is restarting" in member.post("/apps/shop/restart", follow=True).content.decode()
    assert (
        "Deploy it first." in member.post("/apps/empty-hull/restart", follow=True).content.decode()
    )


def test_deleting_needs_the_name(member: Client) -> None:
    refused = member.post("/apps/shop/delete", {"typed_name": "shopp"})
    assert refused.status_code == 422
    assert 'value="shopp"' in refused.content.decode()
    assert "Type shop to delete it." in refused.content.decode()
    assert member.get("/apps/shop").status_code == 200
    member.post("/apps/shop/delete", {"typed_name": "shop"})
    assert member.get("/apps/shop").status_code == 404


def test_a_token_is_shown_once_and_can_be_revoked(member: Client) -> None:
    answer = member.post("/account", {"label": "ci"})
    token = Token.objects.get(label="ci")
    assert token.prefix in answer.content.decode()
    assert "shown only once" in answer.content.decode()
    assert "shown only once" not in member.get("/account").content.decode()
    member.post(f"/account/tokens/{token.pk}/revoke")
    assert not Token.objects.filter(label="ci").exists()


def test_a_password_is_changed_without_signing_out(member: Client) -> None:
    wrong = member.post(
        "/account/password",
        {
            "old_password": "no",
            "new_password1": "sails and ropes 9",
            "new_password2": "sails and ropes 9",
        },
    )
    assert wrong.status_code == 422
    values = {
        "old_password": "a quiet harbour 7",
        "new_password1": "sails and ropes 9",
        "new_password2": "sails and ropes 9",
    }
    assert (
        "Your password was changed."
        in member.post("/account/password", values, follow=True).content.decode()
    )
    assert Person.objects.get(username="member").check_password("sails and ropes 9")


def test_a_wrong_password_is_reported_and_the_name_is_kept(sample_portal: None) -> None:
    answer = Client().post("/sign-in", {"username": "member", "password": "wrong"})
    assert "Wrong name or password" in answer.content.decode()
    assert 'value="member"' in answer.content.decode()


def test_people_join_and_leave_a_team(member: Client) -> None:
    unknown = member.post("/team/harbour/people", {"username": "nobody", "role": "member"})
    assert 'value="nobody"' in unknown.content.decode()
    assert "Ask an admin to create the account." in unknown.content.decode()
    member.post("/team/harbour/people", {"username": "newcomer", "role": "member"})
    assert Membership.objects.filter(team__name="harbour", person__username="newcomer").exists()
    member.post("/team/harbour/people/newcomer/remove")
    assert not Membership.objects.filter(team__name="harbour", person__username="newcomer").exists()
    assert (
        "last owner"
        in member.post("/team/harbour/people/member/remove", follow=True).content.decode()
    )


def test_a_team_is_created_and_a_name_in_use_is_refused(member: Client) -> None:
    assert "is already in use" in member.post("/teams/new", {"name": "dock"}).content.decode()
    assert member.post("/teams/new", {"name": "crew"}).status_code == 302
    assert Team.objects.get(name="crew").people.get().username == "member"


def limits(**changes: str) -> dict[str, str]:
    values = {
        "apps": "5",
        "instances": "9",
        "cpu": "1.5 CPU",
        "cpu_per_instance": "500m",
        "memory": "2G",
        "memory_per_instance": "512M",
    }
    return (
        values
        | {
            "disk": "4 GiB",
            "disk_per_instance": "1g",
            "processes_per_instance": "64",
            "sleep_minutes": "0",
        }
        | changes
    )


def test_an_admin_sets_a_quota_in_the_units_people_type(admin: Client) -> None:
    answer = admin.post("/admin/teams/dock", limits(), follow=True)
    assert "The quota of dock was saved." in answer.content.decode()
    quota = Team.objects.get(name="dock").quota
    assert (quota.cpu, quota.cpu_per_instance, quota.memory, quota.disk_per_instance) == (
        1500,
        500,
        2 * 2**30,
        2**30,
    )
    refused = admin.post("/admin/teams/dock", limits(memory="heaps"))
    assert refused.status_code == 422
    assert 'value="heaps"' in refused.content.decode()


def test_an_admin_creates_people(admin: Client) -> None:
    weak = admin.post("/admin/people", {"username": "mate", "password": "1234"})
    assert weak.status_code == 422
    assert 'value="mate"' in weak.content.decode()
    admin.post(
        "/admin/people", {"username": "mate", "password": "ropes and sails 5", "team": "dock"}
    )
    assert Membership.objects.filter(team__name="dock", person__username="mate").exists()


@pytest.mark.parametrize("size", [2**30 * 5 // 4, 2**20 + 1, 512 * 2**20, 1])
def test_a_size_that_is_saved_as_shown_does_not_change(size: int) -> None:
    field = SizeField()
    assert field.clean(field.prepare_value(size)) == size


def test_a_size_that_is_far_too_large_is_an_error_of_the_field() -> None:
    with pytest.raises(ValidationError, match=r"Invalid size: 9+\. Use for example 512M or 1\.5G"):
        SizeField().clean("9" * 400)
