"""A client of the platform's HTTP API with a token, as programs use it."""

import time
from typing import Any

import httpx

from tests.system.support.waiting import until

OVER = {"succeeded", "failed", "cancelled"}
SETTLED = {"live", "failed", "rolled_back", "superseded"}


class Api:
    """Client of the HTTP API. Every failed call is an AssertionError that shows the response."""

    def __init__(self, url: str, token: str) -> None:
        self.token = token
        self.api = httpx.Client(
            base_url=f"{url}/api/v1", timeout=60, headers={"Authorization": f"Bearer {token}"}
        )

    def create_app(self, team: str, name: str) -> None:
        self._told(self.api.post("/apps", json={"team": team, "name": name}))

    def deploy(self, app: str, archive: bytes, filename: str = "source.tar.gz") -> int:
        """Upload an archive. Return the build's number."""
        return int(self._told(self.upload(app, archive, filename))["id"])

    def upload(self, app: str, archive: bytes, filename: str = "source.tar.gz") -> httpx.Response:
        return self.api.post(f"/apps/{app}/builds", files={"archive": (filename, archive)})

    def get(self, path: str) -> Any:
        return self._told(self.api.get(path))

    def build(self, app: str, number: int) -> dict[str, Any]:
        return dict(self.get(f"/apps/{app}/builds/{number}"))

    def built(self, app: str, number: int, within: float = 120) -> dict[str, Any]:
        """Wait until the build is over, in any state. Return it."""
        return until(
            lambda: (found := self.build(app, number))["state"] in OVER and found,
            within=within,
            what=f"build {number} of {app} is over",
        )

    def settled(self, app: str, release: int, within: float = 90) -> dict[str, Any]:
        """Wait until the rollout of a release is over, in any state. Return it."""

        def look() -> dict[str, Any] | None:
            return next(
                (
                    rollout
                    for rollout in self.get(f"/apps/{app}/rollouts")
                    if rollout["release"] == release and rollout["state"] in SETTLED
                ),
                None,
            )

        return until(look, within=within, what=f"the rollout of {app} v{release} is over")

    def deployed(
        self, app: str, archive: bytes, filename: str = "source.tar.gz", within: float = 120
    ) -> int:
        """Upload an archive and wait until it is live. Return the release's number."""
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

    def configure(self, app: str, **variables: str | None) -> int:
        """Set config vars. Return the number of the release that this creates."""
        return int(
            self._told(self.api.patch(f"/apps/{app}/config", json={"changes": variables}))[
                "release"
            ]
        )

    def change_traffic(self, app: str, **changes: object) -> None:
        self._told(self.api.patch(f"/apps/{app}/traffic", json=changes))

    def delete_app(self, app: str) -> None:
        """Delete an app. A missing app is not an error."""
        if self.api.get(f"/apps/{app}").status_code != 404:
            self._told(self.api.delete(f"/apps/{app}", params={"confirm": app}))

    def build_log(self, app: str, number: int) -> str:
        return self.api.get(f"/apps/{app}/builds/{number}/log", params={"lines": 5000}).text

    def log(self, app: str) -> str:
        return self.api.get(f"/apps/{app}/log", params={"lines": 5000}).text

    def instances(self, app: str) -> list[dict[str, Any]]:
        return list(self.get(f"/apps/{app}/instances"))

    @staticmethod
    def _told(answer: httpx.Response) -> Any:
        assert answer.is_success, (
            f"{answer.request.method} {answer.request.url}: {answer.status_code}"
            f" {answer.text[:2000]}"
        )
        return answer.json() if answer.content else None
