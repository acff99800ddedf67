"""A user of the platform over HTTP.

The user signs in on the page as a browser does, and creates an API token there.
"""

import re
from collections.abc import Mapping

import httpx

from tests.system.support.api import Api

GIB = 2**30
GENEROUS = {
    "apps": 100,
    "instances": 100,
    "cpu": 100_000,
    "cpu_per_instance": 1000,
    "memory": 100 * GIB,
    "memory_per_instance": GIB,
    "disk": 200 * GIB,
    "disk_per_instance": 2 * GIB,
    "processes_per_instance": 256,
    "sleep_minutes": 0,
}


class Person(Api):
    """A signed-in user. `pages` holds the session of a browser."""

    def __init__(self, url: str, username: str, password: str) -> None:
        self.url, self.username, self.password = url, username, password
        self.pages = httpx.Client(base_url=url, timeout=60, follow_redirects=True)
        signed_in = self.post("/sign-in", {"username": username, "password": password})
        shown = " ".join(re.sub(r"<[^>]*>", " ", signed_in.text.partition("<main")[2]).split())
        assert signed_in.url.path != "/sign-in", (
            f"signing in was answered with {signed_in.status_code}: {shown[:1000]}"
        )
        made = self.post("/account", {"label": "system tests"})
        found = re.search(r"slip_[\w-]{20,}", made.text)
        assert found, f"no token on the account page: {made.text[:2000]}"
        super().__init__(url, found[0])

    def post(
        self,
        path: str,
        fields: Mapping[str, str],
        files: Mapping[str, tuple[str, bytes]] | None = None,
    ) -> httpx.Response:
        """Send a form as a browser does, with the CSRF token of its page."""
        if "slipway-csrf" not in self.pages.cookies:
            self.pages.get("/sign-in")
        fields = {**fields, "csrfmiddlewaretoken": self.pages.cookies["slipway-csrf"]}
        return self.pages.post(
            path, data=fields, files=files, headers={"Referer": f"{self.url}{path}"}
        )

    def create_team(self, name: str) -> None:
        self.post("/teams/new", {"name": name}).raise_for_status()

    def set_quota(self, team: str, **limits: int) -> None:
        """Set a team's quota on the admin's page; CPU in millicores, memory and disk in bytes.

        Other limits are set to high values.
        """
        amounts = {**GENEROUS, **limits}
        fields = {
            name: f"{amount}m" if name.startswith("cpu") else str(amount)
            for name, amount in amounts.items()
        }
        self.post(f"/admin/teams/{team}", fields).raise_for_status()
