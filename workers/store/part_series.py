"""The points of an app's process types and instances. `series` writes them next to the app's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from portal.metrics.parts import Part, PartsPoint, is_instance, merged, process_of
from runtime.network.traffic import Amount
from workers.store.usage import AppUsage, InstanceSample

MOST_INSTANCES = 40  # in one point; those with the most memory
Samples = Mapping[str, Mapping[str, InstanceSample]]  # app -> name of the instance -> its sample
Restarts = Mapping[str, Mapping[str, int]]  # app -> name of the ended instance -> 1


@dataclass(slots=True, kw_only=True)
class _PartWindow:
    """One part over some rounds."""

    rounds: int = 0
    cpu: int = 0  # the sum
    part: Part = field(default_factory=Part)

    def add(self, part: Part) -> None:
        self.rounds += 1
        self.cpu += part.cpu
        self.part = merged((self.part, part))

    def result(self) -> Part:
        return msgspec.structs.replace(self.part, cpu=round(self.cpu / self.rounds))


@dataclass(slots=True, kw_only=True)
class _AppWindow:
    since: float
    parts: dict[str, _PartWindow] = field(default_factory=lambda: defaultdict(_PartWindow))


class PartSeries:
    """The parts of all apps. `samples` returns the running instances of each app."""

    def __init__(self, samples: Callable[[], Samples]) -> None:
        self._samples = samples
        self._outside: dict[tuple[str, str], Amount] = {}  # traffic as of the last round
        self._windows: dict[str, _AppWindow] = {}

    def round(self, restarts: Restarts, *, at: float, seconds: float) -> dict[str, PartsPoint]:
        """Return a point for each app with instances, and add it to the current window."""
        samples = self._samples()
        outside = {
            (app, name): sample.outside
            for app, instances in samples.items()
            for name, sample in instances.items()
        }
        points = {}
        for app in samples.keys() | restarts.keys():
            parts = {
                name: _part(
                    sample.usage,
                    sample.outside.since(self._outside.get((app, name), sample.outside)),
                )
                for name, sample in samples.get(app, {}).items()
            }
            for name, count in restarts.get(app, {}).items():
                parts[name] = msgspec.structs.replace(parts.get(name, Part()), restarts=count)
            parts |= _processes(parts)
            window = self._windows.setdefault(app, _AppWindow(since=at - seconds))
            for name, part in parts.items():
                window.parts[name].add(part)
            points[app] = PartsPoint(
                at=round(at, 1), seconds=round(seconds, 1), parts=stored(parts)
            )
        self._outside = outside
        return points

    def folded(self, *, at: float) -> dict[str, PartsPoint]:
        """Return a point for each app, over all rounds since `start_window`."""
        return {
            app: PartsPoint(
                at=round(at, 1),
                seconds=round(at - window.since, 1),
                parts=stored({name: part.result() for name, part in window.parts.items()}),
            )
            for app, window in self._windows.items()
        }

    def start_window(self) -> None:
        """Start the next window of all apps."""
        self._windows.clear()

    def forget(self, app: str) -> None:
        """Drop the window of a deleted app."""
        self._windows.pop(app, None)


def stored(parts: Mapping[str, Part]) -> dict[str, Part]:
    """Return the parts as a point has them: without process types that equal their only instance,
    and with at most MOST_INSTANCES instances."""
    instances = sorted(
        (name for name in parts if is_instance(name)), key=lambda name: -parts[name].memory
    )
    count: dict[str, int] = defaultdict(int)
    for name in instances:
        count[process_of(name)] += 1
    kept = {name: parts[name] for name in instances[:MOST_INSTANCES]}
    return {
        **{name: part for name, part in parts.items() if not is_instance(name) and count[name] > 1},
        **kept,
    }


def _part(usage: AppUsage, outside: Amount) -> Part:
    return Part(
        cpu=usage.cpu,
        cpu_limit=usage.cpu_limit,
        memory=usage.memory,
        memory_limit=usage.memory_limit,
        disk=usage.disk,
        disk_limit=usage.disk_limit,
        egress=outside.sent,
        ingress=outside.received,
    )


def _processes(instances: Mapping[str, Part]) -> dict[str, Part]:
    """Return the sum of each process type's instances."""
    sums: dict[str, Part] = {}
    for name, part in instances.items():
        process = process_of(name)
        if (other := sums.get(process)) is not None:
            added = (
                mine + more
                for mine, more in zip(
                    msgspec.structs.astuple(other), msgspec.structs.astuple(part), strict=True
                )
            )
            sums[process] = Part(*added)
        else:
            sums[process] = part
    return sums
