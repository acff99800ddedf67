"""Redeploys of flask-counter with unchanged dependencies.

They measure the time from the accepted upload to the new version, and count failed requests.
"""

import http.client
import statistics
import time
from dataclasses import dataclass

from runtime.config import NodeConfig
from tests.system.support import archives
from tests.system.support.api import Api
from tests.system.support.load import Load, Tally

APP = "slipway-bench-counter"
TIMED = 7
UNDER_LOAD = 20
PATIENCE = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Redeploys:
    """Deploys of numbered versions of one app. The first one also installs its packages."""

    config: NodeConfig
    api: Api
    team: str

    def prepare(self) -> None:
        if self.api.api.get(f"/apps/{APP}").status_code == 404:
            self.api.create_app(self.team, APP)
        self.once("first")

    def clean(self) -> None:
        self.api.api.delete(f"/apps/{APP}", params={"confirm": APP}).raise_for_status()

    def once(self, version: str) -> tuple[float, int]:
        """Deploy a version once.

        Return the seconds until the router serves it, and the build's number.
        """
        number = self.api.deploy(
            APP,
            archives.example(
                "flask-counter", {"templates/counter.html": f"<p>version {version}</p>"}
            ),
        )
        begun = time.perf_counter()
        while self._served() != f"<p>version {version}</p>":
            if time.perf_counter() - begun > PATIENCE:
                build = self.api.build(APP, number)
                raise TimeoutError(
                    f"{version} is not served after {PATIENCE} s; its build: {build};"
                    f" {self.api.get(f'/apps/{APP}/rollouts')[0]}"
                )
            time.sleep(0.005)
        return time.perf_counter() - begun, number

    def timed(self) -> list[float]:
        return [self._settled(*self.once(f"timed {number}")) for number in range(TIMED)]

    def under_load(self) -> Tally:
        with Load(self.config.http_port, self._host) as load:
            for number in range(UNDER_LOAD):
                self._settled(*self.once(f"loaded {number}"))
        return load.tally

    def report(self) -> list[str]:
        """Return a text about the seconds, then one about the failed requests."""
        times = self.timed()
        tally = self.under_load()
        return [
            f"{statistics.median(times):.2f} s median, {max(times):.2f} s worst of {len(times)}",
            f"{tally.failed} failed of {tally.requests} requests in {UNDER_LOAD} redeploys",
        ]

    def _settled(self, seconds: float, build: int) -> float:
        """Wait until the release is live, as a person does before the next deploy."""
        self.api.settled(APP, int(self.api.build(APP, build)["release"]))
        return seconds

    @property
    def _host(self) -> str:
        return f"{APP}.{self.config.base_domain}"

    def _served(self) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.config.http_port, timeout=5)
        try:
            connection.request("GET", "/", headers={"Host": self._host})
            return connection.getresponse().read().decode(errors="replace")
        except OSError:
            return ""
        finally:
            connection.close()
