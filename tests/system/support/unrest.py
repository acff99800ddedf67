"""An app under constant requests, which is rolled out and scaled many times.

Its router is restarted too.
"""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from runtime.config import NodeConfig
from runtime.router.router import Router
from tests.system.support import archives
from tests.system.support.api import Api
from tests.system.support.load import Load, Tally
from tests.system.support.waiting import until

APP = "slipway-unrest"
WAYS = ("rolling", "blue-green", "canary", "recreate")
COUNTS = (2, 3, 1)  # instances, in turn
TELL_EVERY = 20
CANARY = [[10, 1], [50, 1]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The events and the result of the requests: kept alive, and each with its own connection."""

    rollouts: Counter[str]  # by strategy
    given_up: list[str]  # reasons of rollouts that did not go live
    scalings: int
    restarts: int
    kept: Tally
    fresh: Tally

    @property
    def failed(self) -> int:
        return self.kept.failed + self.fresh.failed + len(self.given_up)

    def lines(self) -> list[tuple[str, str]]:
        ways = ", ".join(f"{count} {way}" for way, count in self.rollouts.items())
        return [
            (
                "rollouts",
                f"{self.rollouts.total()} ({ways}); {len(self.given_up)} given up"
                f" {' '.join(self.given_up)}".rstrip(),
            ),
            ("scalings", f"{self.scalings}"),
            ("router restarts", f"{self.restarts}"),
            *(
                (f"requests {name}", _line(tally))
                for name, tally in (("kept alive", self.kept), ("anew", self.fresh))
            ),
        ]


@dataclass(slots=True, kw_only=True)
class Unrest:
    """Events under load: `prepare`, `under_load` any number of times, `clean`."""

    config: NodeConfig
    api: Api
    team: str
    _number: Iterator[int] = field(default_factory=itertools.count)

    def prepare(self) -> None:
        if self.api.api.get(f"/apps/{APP}").status_code == 404:
            self.api.create_app(self.team, APP)
        self.api.change_traffic(APP, drain_seconds=10, canary_steps=CANARY, sleep_minutes=0)
        self.api.deployed(APP, archives.example("hello"))
        self._scale(COUNTS[0])

    def clean(self) -> None:
        self.api.delete_app(APP)

    def under_load(
        self,
        *,
        rollouts: int,
        scalings: int,
        restarts: int,
        tell: Callable[[str], None] = lambda _: None,
    ) -> Told:
        """Do all events; the rare events are spread evenly among the frequent.

        The callback gets the progress.
        """
        ways, given_up, host = Counter[str](), [], f"{APP}.{self.config.base_domain}"
        counts, next_way = itertools.cycle(COUNTS[1:] + COUNTS[:1]), itertools.cycle(WAYS)
        with (
            Load(self.config.http_port, host, connections=6) as kept,
            Load(self.config.http_port, host, connections=2, keep_alive=False) as fresh,
        ):
            for number, what in enumerate(
                _mixed(rollout=rollouts, scaling=scalings, restart=restarts)
            ):
                if number % TELL_EVERY == 0:
                    tell(
                        f"{number} of {rollouts + scalings + restarts} done, {len(given_up)}"
                        " rollouts given up"
                    )
                if what == "rollout":
                    ways[way := next(next_way)] += 1
                    given_up += self._roll_out(way)
                elif what == "scaling":
                    self._scale(next(counts))
                else:
                    Router(self.config).reload()
        return Told(
            rollouts=ways,
            given_up=given_up,
            scalings=scalings,
            restarts=restarts,
            kept=kept.tally,
            fresh=fresh.tally,
        )

    def _roll_out(self, way: str) -> list[str]:
        """Roll out a release with another config var. Return why it failed, if it did."""
        self.api.change_traffic(APP, way=way)
        release = self.api.configure(APP, UNREST=f"{time.time_ns()}-{next(self._number)}")
        rollout = self.api.settled(APP, release)
        return [] if rollout["state"] == "live" else [f"v{release} {way}: {rollout['reason']}"]

    def _scale(self, count: int) -> None:
        self.api.scale(APP, count)
        until(
            lambda: self._live() == count, within=90, what=f"{count} instances are live", every=0.2
        )

    def _live(self) -> int:
        return sum(instance["state"] == "live" for instance in self.api.instances(APP))


def _mixed(**times: int) -> Iterator[str]:
    """Yield each name the given number of times, evenly spread."""
    moments = [
        ((number + 0.5) / count, name) for name, count in times.items() for number in range(count)
    ]
    yield from (name for _, name in sorted(moments))


def _line(tally: Tally) -> str:
    return f"{tally.requests:,}, {tally.failed} failed" + (f": {tally.how}" if tally.failed else "")
