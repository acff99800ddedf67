"""The page of a new app: commands that work as pasted, a token made in place, and the examples."""

import io
import re
import shlex
import tarfile

from django.test import Client

from portal.accounts.models import Token
from portal.apps.models import App
from portal.builds import sources
from portal.builds.models import Build
from portal.pages.apps.examples import examples


def commands(page: str, label: str) -> list[str]:
    found = re.search(rf'<pre aria-label="{label}">(.*?)</pre>', page, re.DOTALL)
    assert found is not None
    lines = re.findall(r'<span class="prompted">(.*?)</span>', found[1], re.DOTALL)
    return [line.replace("&quot;", '"').replace("&#x27;", "'") for line in lines]


def test_the_commands_have_the_chosen_name_and_team(member: Client) -> None:
    answer = member.post("/new", {"commands": "1", "name": "boat", "team": "harbour"})
    assert answer["Location"] == "/new?name=boat&team=harbour"
    page = member.get(answer["Location"]).content.decode()
    assert commands(page, "git commands") == [
        "git remote add slipway http://member@localhost:8080/git/harbour/boat.git",
        "git push slipway HEAD:main",
    ]
    assert 'value="boat"' in page


def test_a_token_made_in_place_is_in_all_commands_and_only_once(member: Client) -> None:
    page = member.get("/new?name=boat").content.decode()
    number = re.search(r'name="form_number" value="([^"]+)"', page)
    assert number is not None
    sent = {"name": "boat", "team": "harbour", "form_number": number[1]}
    shown = member.post("/new/token", sent).content.decode()
    token = re.search(r"http://member:(\S+)@localhost", shown)
    assert token is not None
    assert f"export SLIPWAY_TOKEN={token[1]}" in commands(shown, "API commands")
    listed = member.get("/api/v1/apps", headers={"Authorization": f"Bearer {token[1]}"})
    assert listed.status_code == 200
    before = Token.objects.count()
    assert member.post("/new/token", sent).status_code == 302
    assert Token.objects.count() == before


def test_the_first_api_command_creates_the_app(member: Client) -> None:
    page = member.get("/new?name=boat&team=harbour").content.decode()
    words = shlex.split(commands(page, "API commands")[0])
    assert words[words.index("-d") + 1] == '{"name": "boat", "team": "harbour"}'
    assert words[-1].endswith("/api/v1/apps")


def test_each_example_is_listed_and_deploys_with_one_click(member: Client) -> None:
    page = member.get("/new").content.decode()
    assert len(examples()) > 10
    for example in examples():
        assert f'name="example" value="{example.name}"' in page
        assert example.text
    for name in ("flask-counter", "flask-counter-2"):
        answer = member.post("/new/example", {"example": "flask-counter", "team": "harbour"})
        build = Build.objects.get(app=App.objects.get(name=name))
        assert answer["Location"] == f"/apps/{name}/builds/{build.pk}"
    data = sources.path_of(build.source).read_bytes()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert "requirements.txt" in archive.getnames()


def test_an_unknown_example_and_a_foreign_team_are_refused(member: Client) -> None:
    answer = member.post("/new/example", {"example": "../docs", "team": "harbour"}, follow=True)
    assert "There is no example ../docs." in answer.content.decode()
    member.post("/new/example", {"example": "hello", "team": "pier"})
    assert App.objects.get(name="hello").team.name == "harbour"
