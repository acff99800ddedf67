"""The rollout strategies: how traffic moves from one release to the next. Values only. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class StrategyKind(StrEnum):
    """The kind of a rollout."""

    ROLLING = "rolling"  # one by one: a new instance takes traffic, then an old one leaves
    # All new instances start next to all old ones, then traffic switches at once.
    BLUE_GREEN = "blue-green"
    # A small share of the requests first, compared with the old release, then all.
    CANARY = "canary"
    # The old instances stop before the new ones start, for data that only one may write. Requests
    # wait.
    RECREATE = "recreate"


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryStep:
    """One share of the requests for a canary, and its duration before the next step."""

    percent: int  # 1 to 99
    seconds: float

    def __post_init__(self) -> None:
        if not 1 <= self.percent <= 99 or self.seconds < 0:
            raise ValueError(
                f"A canary's step of {self.percent} % for {self.seconds} s: the share is 1 to 99 %,"
                " the time not negative."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """A kind with its settings.

    `token`, in a header or cookie, sends a client's requests to the canary.
    """

    kind: StrategyKind = StrategyKind.ROLLING
    surge: int = 1  # instances that a rolling rollout starts above the desired number
    steps: tuple[CanaryStep, ...] = (
        CanaryStep(percent=1, seconds=60.0),
        CanaryStep(percent=10, seconds=60.0),
    )
    token: str = ""
