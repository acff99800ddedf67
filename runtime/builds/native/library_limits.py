"""Limits on layers of shared libraries: root builds each one, and a team's files choose which."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from runtime import journal
from runtime.config import NodeConfig
from runtime.errors import BuildFailed

MOST_PACKAGES = 40  # in one layer
MOST_NEW = 12  # layers that a team's builds may add to this node in an hour
_HOUR = 3600  # seconds
_INSTEAD = "Install the libraries with apt-get in a Dockerfile"


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryLimits:
    """The limits of one team. Layers that exist already do not count."""

    config: NodeConfig
    team: int

    def check_packages(self, packages: Collection[str]) -> None:
        """Raise BuildFailed if an app needs too many packages."""
        if len(packages) > MOST_PACKAGES:
            raise BuildFailed(
                f"The app's packages link to libraries of {len(packages)} Debian packages. The"
                f" maximum is {MOST_PACKAGES}.",
                hint=f"{_INSTEAD}, or remove packages that the app does not need.",
            )

    def count_new(self, now: float) -> None:
        """Count a new layer. Raise BuildFailed if the team has reached its limit.

        `now` is in Unix seconds.
        """
        path = self.config.cache / "library-layers.json"
        with journal.lock(self.config.locks / "library-layers"):
            counted: dict[str, list[float]] = journal.read_json(path) or {}
            recent = {
                team: left
                for team, times in counted.items()
                if (left := [time for time in times if now - _HOUR < time <= now])
            }
            own = recent.setdefault(str(self.team), [])
            if len(own) >= MOST_NEW:
                minutes = int(own[0] + _HOUR - now) // 60 + 1
                raise BuildFailed(
                    f"The team's builds needed {MOST_NEW} new combinations of shared libraries"
                    " within an hour, which is the maximum.",
                    hint=f"Deploy again in {minutes} minutes. {_INSTEAD} to avoid this limit.",
                )
            own.append(now)
            path.parent.mkdir(parents=True, exist_ok=True)
            journal.write_json(path, recent)
