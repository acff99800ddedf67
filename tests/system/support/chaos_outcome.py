"""The size and the outcome of a chaos run: its deploys, its kills and the failed requests."""

from collections import Counter
from dataclasses import dataclass, field

from tests.system.support.pace import Answer
from tests.system.support.victims import Killed

APPS = ("slipway-chaos-a", "slipway-chaos-b", "slipway-chaos-c")
AFTER_ROUTER = 2.0  # seconds after a kill of the router in which failed requests are excused
ROUTER = {"router", "process manager"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    kills: int = 150
    seconds: int = 600
    deploy_every: float = 4


@dataclass(slots=True)
class Deploys:
    """The uploads and the portal's responses."""

    accepted: dict[str, list[tuple[int, str]]] = field(
        default_factory=lambda: {app: [] for app in APPS}
    )  # build, version
    unknown: dict[str, list[str]] = field(
        default_factory=lambda: {app: [] for app in APPS}
    )  # sent, no response
    refused: Counter[str] = field(default_factory=Counter)

    def may_serve(self, app: str) -> set[str]:
        """Return the last accepted version, and those sent after it whose response was lost."""
        last = self.accepted[app][-1][1]
        return {
            last,
            *(version for version in self.unknown[app] if _number(version) > _number(last)),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    kills: list[Killed]
    deploys: Deploys
    answers: list[Answer]
    faults: list[str]  # all faults that were found

    def lines(self) -> list[tuple[str, str]]:
        parts = Counter(killed.part for killed in self.kills)
        excused, failed = split_failures(self.answers, self.kills)
        accepted = {app: len(builds) for app, builds in self.deploys.accepted.items()}
        lost = sum(len(versions) for versions in self.deploys.unknown.values())
        return [
            (
                "kills",
                (
                    f"{len(self.kills)}"
                    f" ({', '.join(f'{count} {part}' for part, count in sorted(parts.items()))})"
                ),
            ),
            (
                "deploys",
                (
                    f"{sum(accepted.values())} accepted, {lost} without an answer, refused:"
                    f" {dict(self.deploys.refused) or 'none'}"
                ),
            ),
            ("requests", f"{len(self.answers):,}"),
            (
                "failed",
                (
                    f"{len(failed)}; and {len(excused)} within {AFTER_ROUTER:g} s of a killed"
                    " router or process manager"
                ),
            ),
            ("faults", f"{len(self.faults)}" + "".join(f"\n  {fault}" for fault in self.faults)),
        ]


def split_failures(answers: list[Answer], kills: list[Killed]) -> tuple[list[Answer], list[Answer]]:
    """Split failed requests into those near a kill of the router or its manager, and all others."""
    moments = [killed.at for killed in kills if killed.part in ROUTER]
    excused, others = [], []
    for answer in answers:
        if answer.failed:
            near = any(
                answer.at - AFTER_ROUTER <= moment <= answer.at + answer.took for moment in moments
            )
            (excused if near else others).append(answer)
    return excused, others


def _number(version: str) -> int:
    return int(version.removeprefix("v"))
