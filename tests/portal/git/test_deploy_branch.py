"""Set the branch that deploys, by the settings page and the API, and push to it."""

from pathlib import Path

import pytest
from django.test import Client

from portal.apps.branches import checked_branch, deploys
from portal.apps.models import App
from portal.builds.models import Build
from portal.errors import ValueRefused
from portal.lifecycle.app_actions import set_deploy_branch
from tests.portal.conftest import People, bearer
from tests.portal.git.test_git import Checkout
from tests.portal.shipyard import FakeWorkers


def test_only_the_set_branch_deploys_and_a_clone_checks_it_out(
    tmp_path: Path, portal_url: str, fake_workers: FakeWorkers, committed_people: People
) -> None:
    owner, app = committed_people.owner, committed_people.app()
    token = committed_people.token(owner)
    checkout = Checkout(tmp_path, portal_url)
    checkout.commit()
    set_deploy_branch(owner, app=app, branch="feature/cart")
    refused = checkout.push("hello", token)
    assert refused.returncode != 0
    assert "Only feature/cart is deployed, so refs/heads/main was refused." in refused.stderr
    assert "git push slipway main:feature/cart" in refused.stderr
    assert not Build.objects.exists()
    pushed = checkout.push("hello", token, "main:feature/cart")
    assert pushed.returncode == 0, pushed.stderr
    cloned = checkout.git("clone", "--quiet", checkout.remote("hello", token), "copy")
    assert "nonexistent ref" not in cloned.stderr
    assert (checkout.folder / "copy" / "Procfile").exists()
    set_deploy_branch(owner, app=app, branch="")
    assert checkout.push("hello", token).returncode == 0
    checkout.commit("Another")
    assert "Only main is deployed" in checkout.push("hello", token, "main:feature/cart").stderr
    heads = checkout.git("ls-remote", "--symref", checkout.remote("hello", token), "HEAD")
    assert "ref: refs/heads/main\tHEAD" in heads.stdout


def test_the_settings_page_sets_the_branch_and_shows_it(people: People, client: Client) -> None:
    app = people.app()
    client.force_login(people.owner)
    url = f"/apps/{app.name}/settings"
    assert client.post(f"{url}/branch", {"branch": "refs/heads/release"}).status_code == 302
    assert App.objects.get().deploy_branch == "release"
    assert 'value="release"' in client.get(url).content.decode()
    assert "git push slipway HEAD:release" in client.get(f"/apps/{app.name}").content.decode()
    refused = client.post(f"{url}/branch", {"branch": "a b"})
    assert refused.status_code == 422
    assert "is not a valid name of a branch." in refused.content.decode()
    assert client.post(f"{url}/branch", {"branch": ""}).status_code == 302
    assert App.objects.get().deploy_branch == ""


def test_the_api_sets_the_branch(people: People, client: Client) -> None:
    app = people.app()
    url, headers = f"/api/v1/apps/{app.name}/git", bearer(people.token(people.owner))

    def patch(branch: str | None) -> tuple[int, object]:
        done = client.patch(
            url, {"branch": branch}, content_type="application/json", headers=headers
        )
        return done.status_code, done.json()

    assert client.get(url, headers=headers).json() == {"branch": None}
    assert patch("release") == (200, {"branch": "release"})
    assert client.get(url, headers=headers).json() == {"branch": "release"}
    status, answer = patch("$(id)")
    assert status == 400
    assert "'$(id)' is not a valid name of a branch." in str(answer)
    assert patch(None) == (200, {"branch": None})


@pytest.mark.parametrize(
    "name", ["main", "release/2.1", "feature/cart-3", "a@b", "v1_0", "x" * 100]
)
def test_names_that_git_accepts_are_accepted(name: str) -> None:
    assert checked_branch(f" {name} ") == name
    assert deploys(name, f"refs/heads/{name}")
    assert not deploys(name, f"refs/tags/{name}")


@pytest.mark.parametrize(
    "name",
    [
        *("-d", "a b", "a..b", "a//b", "/a", "a/", "a.", "a.lock", "a/.b", "a~1", "a^", "a:b"),
        *("a?", "a*", "a[", "a\\b", "a@{1}", "@", "HEAD", "a\nb", "a\0b", "$(id)", "a;b", "`a`"),
        *("x" * 101, "ä", "a\x1b[31m"),
    ],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueRefused):
        checked_branch(name)


def test_main_and_master_deploy_while_no_branch_is_set() -> None:
    assert [deploys("", f"refs/heads/{name}") for name in ("main", "master", "x")] == [
        True,
        True,
        False,
    ]
    assert not deploys("main", "refs/heads/master")
