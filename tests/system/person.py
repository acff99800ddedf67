"""Someone who uses the platform over HTTP: signs in by the pages as a browser does, and talks to the API with a token."""

import re
import time
from collections.abc import Mapping
from typing import Any

import httpx

from tests.system.waiting import until

OVER = {"succeeded", "failed", "cancelled"}
SETTLED = {"live", "failed", "superseded"}
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
}


class Person:
    """`pages` holds the session of a browser, `api` the token of a program."""

    def __init__(self, url: str, username: str, password: str) -> None:
        self.url, self.username, self.password = url, username, password
        self.pages = httpx.Client(base_url=url, timeout=60, follow_redirects=True)
        self.post("/sign-in", {"username": username, "password": password})
        made = self.post("/account", {"label": "system tests"})
        found = re.search(r"slip_[\w-]{20,}", made.text)
        assert found, f"no token on the account page: {made.text[:2000]}"
        self.token = found[0]
        self.api = httpx.Client(base_url=f"{url}/api/v1", timeout=60, headers={"Authorization": f"Bearer {self.token}"})

    def post(self, path: str, fields: Mapping[str, str], files: Mapping[str, tuple[str, bytes]] | None = None) -> httpx.Response:
        """Send a form as a browser does: with the token of the page it stands on."""
        if "slipway-csrf" not in self.pages.cookies:
            self.pages.get("/sign-in")
        fields = {**fields, "csrfmiddlewaretoken": self.pages.cookies["slipway-csrf"]}
        return self.pages.post(path, data=fields, files=files, headers={"Referer": f"{self.url}{path}"})

    def create_team(self, name: str) -> None:
        self.post("/teams/new", {"name": name}).raise_for_status()

    def set_quota(self, team: str, **limits: int) -> None:
        """On the admin's page; CPU in millicores, memory and disk in bytes. What is not named is set generously."""
        amounts = {**GENEROUS, **limits}
        fields = {name: f"{amount}m" if name.startswith("cpu") else str(amount) for name, amount in amounts.items()}
        self.post(f"/admin/teams/{team}", fields).raise_for_status()

    def create_app(self, team: str, name: str) -> None:
        self._told(self.api.post("/apps", json={"team": team, "name": name}))

    def deploy(self, app: str, archive: bytes, filename: str = "source.tar.gz") -> int:
        """Upload; the build's number."""
        return int(self._told(self.upload(app, archive, filename))["id"])

    def upload(self, app: str, archive: bytes, filename: str = "source.tar.gz") -> httpx.Response:
        return self.api.post(f"/apps/{app}/builds", files={"archive": (filename, archive)})

    def get(self, path: str) -> Any:
        return self._told(self.api.get(path))

    def build(self, app: str, number: int) -> dict[str, Any]:
        return dict(self.get(f"/apps/{app}/builds/{number}"))

    def built(self, app: str, number: int, within: float = 120) -> dict[str, Any]:
        """The build once it is over, however it ended."""
        return until(
            lambda: (found := self.build(app, number))["state"] in OVER and found, within=within, what=f"build {number} of {app} is over"
        )

    def settled(self, app: str, release: int, within: float = 90) -> dict[str, Any]:
        """The rollout of a release once it is over, however it ended."""

        def look() -> dict[str, Any] | None:
            return next((one for one in self.get(f"/apps/{app}/rollouts") if one["release"] == release and one["state"] in SETTLED), None)

        return until(look, within=within, what=f"the rollout of {app} v{release} is over")

    def deployed(self, app: str, archive: bytes, filename: str = "source.tar.gz", within: float = 120) -> int:
        """Upload, wait until it is live; the release's number."""
        begun = time.monotonic()
        number = self.deploy(app, archive, filename)
        build = self.built(app, number, within)
        assert build["state"] == "succeeded", f"{build['reason']}\n{self.build_log(app, number)}"
        release = int(build["release"])
        rollout = self.settled(app, release, within - (time.monotonic() - begun))
        assert rollout["state"] == "live", rollout["reason"]
        return release

    def scale(self, app: str, count: int, process: str = "web") -> None:
        self._told(self.api.patch(f"/apps/{app}/formation", json={process: {"count": count}}))

    def roll_back(self, app: str, release: int) -> None:
        self._told(self.api.post(f"/apps/{app}/releases/{release}/rollback"))

    def restart(self, app: str) -> None:
        self._told(self.api.post(f"/apps/{app}/restart"))

    def build_log(self, app: str, number: int) -> str:
        return self.api.get(f"/apps/{app}/builds/{number}/log", params={"lines": 5000}).text

    def log(self, app: str) -> str:
        return self.api.get(f"/apps/{app}/log", params={"lines": 5000}).text

    def instances(self, app: str) -> list[dict[str, Any]]:
        return list(self.get(f"/apps/{app}/instances"))

    @staticmethod
    def _told(answer: httpx.Response) -> Any:
        assert answer.is_success, f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:2000]}"
        return answer.json() if answer.content else None
