"""The way of a request through the router, as one line per step with a link to its settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from portal.apps.models import App
from portal.domains.access import hosts_of
from portal.quotas import amounts
from portal.traffic.models import TrafficSettings, Way


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step of a request. `section` is the section of the settings that changes it."""

    label: str
    text: str
    section: str
    icon: str


def summary_of(app: App, row: TrafficSettings, *, team_sleep: int) -> list[Step]:
    """Return the steps in the order in which the router takes them. `team_sleep` is in minutes."""
    return [
        _step("Domains", ", ".join(hosts_of(app)), "domains", "globe"),
        _step("Access", _access(row), "access", "lock"),
        _step("Limits", _limits(row), "limits", "gauge"),
        _step("Routes", _routes(row), "routes", "split"),
        _step("Instances", _instances(row), "scale", "trending-up"),
        _step("Sleep", _sleep(row, team_sleep), "sleep", "moon"),
        _step("Rollout", f"{Way(row.way).label}.", "rollout", "rocket"),
        _step("Error pages", _pages(row), "error-pages", "file-warning"),
    ]


def _step(label: str, text: str, section: str, icon: str) -> Step:
    return Step(label=label, text=text, section=section, icon=icon)


def _access(row: TrafficSettings) -> str:
    if not row.allowed and not row.auth:
        return "All visitors."
    parts = [
        f"visitors from {_counted(len(row.allowed), 'network')}" if row.allowed else "",
        f"{_counted(len(row.auth), 'user')} with a password" if row.auth else "",
    ]
    return f"Only {', and only '.join(filter(None, parts))}."


def _limits(row: TrafficSettings) -> str:
    parts: Sequence[str] = [
        f"timeout {row.timeout_seconds or 300} s",
        f"body up to {amounts.size(row.body_limit)}" if row.body_limit else "",
        f"{row.rate} requests/s" if row.rate else "",
        f"{row.client_rate} requests/s for one client" if row.client_rate else "",
        f"{row.open_limit} open requests" if row.open_limit else "",
        f"{row.client_open_limit} open requests for one client" if row.client_open_limit else "",
    ]
    text = ", ".join(filter(None, parts))
    return f"{text[0].upper()}{text[1:]}."


def _routes(row: TrafficSettings) -> str:
    paths = [f"{prefix} to {process}" for prefix, process in row.paths]
    extra = [
        "sticky sessions" if row.sticky else "",
        "HTTP/2 to the app" if row.http2 else "",
        "reused connections" if row.keep_alive else "",
    ]
    return (
        ", ".join(
            [
                *paths,
                "all other paths to web" if paths else "All paths to web",
                *filter(None, extra),
            ]
        )
        + "."
    )


def _instances(row: TrafficSettings) -> str:
    if not row.autoscale:
        return "A fixed number of web instances."
    return f"Between {row.autoscale_least} and {row.autoscale_most} web instances, by autoscaling."


def _sleep(row: TrafficSettings, team_sleep: int) -> str:
    minutes = team_sleep if row.sleep_minutes is None else row.sleep_minutes
    return f"After {_counted(minutes, 'minute')} without a request." if minutes else "Never."


def _pages(row: TrafficSettings) -> str:
    if row.maintenance:
        return "Maintenance mode: all visitors get the maintenance page."
    return "Your own error page." if row.error_page else "The default error page."


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
