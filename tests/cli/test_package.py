"""The package of the command line, as the portal offers it."""

import html
import io
import re
import urllib.parse
import zipfile

import httpx
from django.conf import settings
from django.test import Client

from slipway_cli import __version__
from tests.portal.conftest import People
from workers.setup.command_line import SOURCE
from workers.setup.tree import ROOT


def test_the_portal_serves_the_package_that_the_account_page_names(
    portal_url: str, committed_people: People
) -> None:
    client = Client()
    client.force_login(committed_people.owner)
    page = html.unescape(client.get("/account").content.decode())
    install = re.search(rf"uv tool install {settings.PORTAL_URL}(/static/cli/(\S+?\.whl))", page)
    assert install is not None, page
    version = urllib.parse.unquote(install[2]).split("-")[1]
    assert re.fullmatch(re.escape(__version__) + r"\+[0-9a-f]{8}", version)
    served = httpx.get(f"{portal_url}{install[1]}")
    assert served.status_code == 200
    with zipfile.ZipFile(io.BytesIO(served.content)) as wheel:
        packed = {path for path in wheel.namelist() if path.endswith(".py")}
        entry = wheel.read(f"slipway_cli-{version}.dist-info/entry_points.txt").decode()
        module = wheel.read("slipway_cli/__init__.py").decode()
    sources = {path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py")}
    assert packed == {path for path in sources if not path.startswith("build/")}
    assert f'__version__ = "{version}"' in module
    assert "slipway = slipway_cli.__main__:main" in entry


def test_the_package_needs_what_the_lock_file_has() -> None:
    """Then the tests run with the libraries that a user gets."""
    locked = (ROOT / "requirements.txt").read_text()
    needed = [
        line.strip().strip('",').split(">=")[0]
        for line in (SOURCE / "pyproject.toml").read_text().splitlines()
        if ">=" in line and line.startswith("    ")
    ]
    assert len(needed) == 5
    assert [name for name in needed if f"\n{name}==" not in locked] == []
