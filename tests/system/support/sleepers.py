"""Apps that sleep when they get no requests.

They get requests as soon as they sleep: from one client, and from many at once.
"""

import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from runtime.config import NodeConfig
from runtime.router.router import Router
from runtime.router.routes import AppSituation
from tests.system.support import archives
from tests.system.support.api import Api

SIDE_BY_SIDE = 40  # apps: an app sleeps after a minute at the earliest
CROWD = 10  # clients at once, every second time
REST = 2.0  # seconds
PATIENCE = 300.0  # seconds for an app to fall asleep


@dataclass(slots=True, kw_only=True)
class Sleepers:
    """Sleeping apps: `prepare`, then `cycling` during other work, then `clean`.

    `cycling` ends when all cycles are done.
    """

    config: NodeConfig
    api: Api
    team: str
    cycles: int
    stopped: int = 0  # one in this number of apps is stopped, not only frozen; 0: none
    first_answers: list[float] = field(default_factory=list)  # seconds
    requests: int = 0
    failures: list[str] = field(default_factory=list)
    _client: httpx.Client = field(
        default_factory=lambda: httpx.Client(timeout=60, trust_env=False)
    )  # slow to create
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def failed(self) -> int:
        return len(self.failures)

    @property
    def apps(self) -> list[str]:
        return [f"slipway-sleeper-{number}" for number in range(min(self.cycles, SIDE_BY_SIDE))]

    def prepare(self) -> None:
        for app in self.apps:
            if self.api.api.get(f"/apps/{app}").status_code == 404:
                self.api.create_app(self.team, app)
            stops = self.stopped and int(app.rpartition("-")[2]) % self.stopped == 0
            self.api.change_traffic(app, sleep_minutes=1, **({"stop_minutes": 0} if stops else {}))
            self.api.deployed(app, archives.example("hello"))

    def clean(self) -> None:
        for app in self.apps:
            self.api.delete_app(app)

    @contextmanager
    def cycling(self) -> Iterator[None]:
        with ThreadPoolExecutor(max_workers=max(1, len(self.apps))) as pool:
            rounds = [
                len(range(number, self.cycles, len(self.apps))) for number in range(len(self.apps))
            ]
            crowds = [
                [(place + number) % 2 == 1 for number in range(count)]
                for place, count in enumerate(rounds)
            ]
            futures: list[Future[None]] = [
                pool.submit(self._cycle, app, some)
                for app, some in zip(self.apps, crowds, strict=True)
            ]
            yield
            for future in futures:
                future.result()

    def lines(self) -> list[tuple[str, str]]:
        if not self.first_answers:
            return [("sleeps", "0")]
        half, longest = statistics.median(self.first_answers), max(self.first_answers)
        return [
            (
                "sleeps",
                (
                    f"{len(self.first_answers)}; first answers after {half * 1000:.0f} ms (median),"
                    f" {longest * 1000:.0f} ms (longest)"
                ),
            ),
            (
                "requests asleep",
                f"{self.requests}, {self.failed} failed {' '.join(self.failures[:5])}".rstrip(),
            ),
        ]

    def _cycle(self, app: str, crowds: list[bool]) -> None:
        router = Router(self.config)
        for crowd in crowds:
            deadline = time.monotonic() + PATIENCE
            while not asleep(router, app):
                if time.monotonic() > deadline:
                    self._note([], [f"{app} did not fall asleep."], 0)
                    return
                time.sleep(0.3)
            # a single client finds the app fully asleep; a crowd arrives while it is being frozen
            if not crowd:
                time.sleep(REST)
            self._wake(app, CROWD if crowd else 1)

    def _wake(self, app: str, clients: int) -> None:
        with ThreadPoolExecutor(max_workers=clients) as pool:
            answers = list(pool.map(lambda _: self.ask(app), range(clients)))
        self._note(
            [min(took for took, _ in answers)],
            [trouble for _, trouble in answers if trouble],
            clients,
        )

    def ask(self, app: str) -> tuple[float, str]:
        """Send a request. Return its seconds, and the fault of the response."""
        begun = time.perf_counter()
        try:
            answer = self._client.get(
                f"http://127.0.0.1:{self.config.http_port}/",
                headers={"Host": f"{app}.{self.config.base_domain}", "Connection": "close"},
            )
            trouble = (
                ""
                if answer.status_code == 200
                else f"{app}: {answer.status_code} {answer.headers.get('X-Slipway-Code', '')}"
            )
        except httpx.TransportError as error:
            trouble = f"{app}: {error!r}"
        return time.perf_counter() - begun, trouble

    def _note(self, first: list[float], failures: list[str], requests: int) -> None:
        with self._lock:
            self.first_answers += first
            self.failures += failures
            self.requests += requests


def asleep(router: Router, app: str) -> bool:
    routes = router.route(app)
    return routes is not None and routes.situation is AppSituation.ASLEEP
