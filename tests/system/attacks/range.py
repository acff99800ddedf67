"""The place of attacks.

It has a platform, an attacker's app that runs programs, and another team's victim app under load.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from runtime.config import NodeConfig
from tests.portal.images import Client
from tests.system.support import archives
from tests.system.support.api import Api
from tests.system.support.pace import Answer, Pace
from tests.system.support.waiting import until

PROGRAMS = Path(__file__).parent / "programs"
ATTACKERS, VICTIMS = "slipway-attack", "slipway-victim"  # teams
ATTACKER, VICTIM, TARGET = (
    "slipway-attacker",
    "slipway-victim",
    "slipway-target",
)  # apps; builds go into the third
SIZES = (
    '[processes.web]\ncommand = "python3 app.py"\ncpu = 1\nmemory = "192M"\ndisk = "192M"\npids ='
    " 128\n\n[health]\nstart_period = 30\n"
)
RATE = 100  # requests per second to the victim
SECONDS = 4  # of each attack
STARTED_AGAIN = 90  # seconds for an app that was killed by its own attack


@dataclass(slots=True, kw_only=True)
class Range:
    """The place of attacks:

    `prepare`, any number of attacks, `clean`. `api` may act for both teams.
    """

    config: NodeConfig
    api: Api

    def prepare(self) -> None:
        self.clean()
        for team, app in ((ATTACKERS, ATTACKER), (VICTIMS, VICTIM), (ATTACKERS, TARGET)):
            until(
                lambda team=team, app=app: self._created(team, app),
                within=60,
                what=f"{app} can be made",
                every=0.5,
            )
            self.api.change_traffic(app, sleep_minutes=0)
        self.api.deployed(VICTIM, archives.example("hello"))
        self.api.deployed(ATTACKER, self.source())
        until(lambda: self.ask("/") == "ready", within=60, what="the attacker's app answers")

    def clean(self) -> None:
        for app in (ATTACKER, VICTIM, TARGET):
            self.api.delete_app(app)
        until(
            lambda: not self.instances(),
            within=60,
            what="the apps of the attacks are gone",
            every=0.5,
        )

    def instances(self) -> list[str]:
        apps = (ATTACKER, VICTIM, TARGET)
        return [
            path.name
            for path in self.config.instances.iterdir()
            if any(path.name.startswith(f"{app}-") for app in apps)
        ]

    def source(self, **files: str) -> bytes:
        """Return the attacker's programs as an app, with more files."""
        texts: dict[str, str | bytes] = {
            path.name: path.read_text() for path in PROGRAMS.glob("*.py")
        }
        return archives.app(
            {
                **texts,
                ".python-version": "3.13\n",
                "Procfile": "web: python3 app.py\n",
                "slipway.toml": SIZES,
                **files,
            }
        )

    def run(self, program: str, word: str = "-", *, seconds: int = SECONDS) -> dict[str, Any]:
        """Run a program in the attacker's app and return what it printed.

        The result is {"stopped": "killed"} if its instance was killed.
        """
        output = secrets.token_hex(4)
        assert self.ask(f"/start/{program}/{seconds}/{output}/{word}") == "started"
        ends = time.monotonic() + seconds + 15
        while time.monotonic() < ends:
            text = self.ask(f"/result/{output}")
            if text == "ready" or (text == "not yet" and time.monotonic() > ends - 1):
                break
            if text not in {"not yet", ""}:
                self.recover()
                return (
                    dict(json.loads(text.splitlines()[-1]))
                    if text.strip().endswith("}")
                    else {"stopped": "killed", "said": text[-500:]}
                )
            time.sleep(0.3)
        self.recover()
        return {"stopped": "killed"}

    def recover(self) -> None:
        """Wait until any instance of the attacker's app answers."""
        until(
            lambda: self.ask("/") == "ready",
            within=STARTED_AGAIN,
            what="the attacker's app answers again",
            every=0.3,
        )

    def ask(self, path: str) -> str:
        """Return the response of the attacker's app.

        It is empty without a response, or with an error page of the router.
        """
        try:
            answer = httpx.get(
                f"{self.url}{path}",
                headers={"Host": f"{ATTACKER}.{self.config.base_domain}"},
                timeout=15,
            )
        except httpx.TransportError:
            return ""
        return answer.text if answer.status_code == 200 or answer.text == "not yet" else ""

    def build(
        self, files: Mapping[str, str | bytes], *, within: float = 240
    ) -> tuple[dict[str, Any], str]:
        """Upload these files to the third app. Return its build when it is over, and its log."""
        return self.upload(archives.app(files), within=within)

    def upload(
        self, archive: bytes, filename: str = "source.tar.gz", *, within: float = 240
    ) -> tuple[dict[str, Any], str]:
        answer = self.api.upload(TARGET, archive, filename)
        if not answer.is_success:
            return {"state": "refused", "reason": answer.text}, ""
        number = int(answer.json()["id"])
        return self.api.built(TARGET, number, within=within), self.api.build_log(TARGET, number)

    def registry(self) -> Client:
        """Return a client that may push images to the third app."""
        return Client(self.url, f"{ATTACKERS}/{TARGET}", self.api.token)

    def load(self) -> Pace:
        """Return a constant load on the victim."""
        return Pace(
            self.config.http_port, [f"{VICTIM}.{self.config.base_domain}"], rate=RATE, connections=4
        )

    def alone(self, seconds: float = 4) -> list[Answer]:
        """Return the victim's responses without an attack."""
        with self.load() as load:
            time.sleep(seconds)
        return load.answers

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.config.http_port}"

    def _created(self, team: str, app: str) -> bool:
        answer = self.api.api.post("/apps", json={"team": team, "name": app})
        assert answer.status_code != 403, answer.text
        return answer.is_success
