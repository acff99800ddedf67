"""How traffic moves from one release to the next, as an app's owner wishes it: values only. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Which of the four ways."""

    ROLLING = "rolling"  # one by one: a fresh instance takes traffic, an old one leaves
    BLUE_GREEN = "blue-green"  # all of the new beside all of the old, then traffic switches at once
    CANARY = "canary"  # a small share of the requests first, watched, then all
    RECREATE = "recreate"  # the old stops before the new starts, for what two must not write; requests are held meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryStep:
    """One share of a canary's requests, and how long it is watched before the next."""

    percent: int  # 1 to 99
    seconds: float

    def __post_init__(self) -> None:
        if not 1 <= self.percent <= 99 or self.seconds < 0:
            raise ValueError(f"A canary's step of {self.percent} % for {self.seconds} s: the share is 1 to 99 %, the time not negative.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """A way and its measures. `token` lets people meet a canary on purpose, by header or cookie."""

    kind: Kind = Kind.ROLLING
    surge: int = 1  # instances that a rolling one starts above the wanted number
    steps: tuple[CanaryStep, ...] = (CanaryStep(percent=1, seconds=60.0), CanaryStep(percent=10, seconds=60.0))
    token: str = ""
