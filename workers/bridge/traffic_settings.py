"""Translation of an app's traffic settings into a strategy, a router policy and path routes."""

from __future__ import annotations

from ipaddress import ip_network

from portal.quotas.models import Quota
from portal.traffic.models import TrafficSettings
from runtime.converge.desired import Sleep
from runtime.converge.strategy import CanaryStep, Strategy, StrategyKind
from runtime.router.policy import BasicAuth, Credential, Policy, RequestLimits
from runtime.router.routes import PathRoute


def strategy_of(row: TrafficSettings) -> Strategy:
    """Return the strategy by which traffic moves to a new release."""
    steps = tuple(
        CanaryStep(percent=percent, seconds=float(seconds)) for percent, seconds in row.canary_steps
    )
    return Strategy(
        kind=StrategyKind(row.way), surge=row.surge, steps=steps, token=row.preview_token
    )


def policy_of(row: TrafficSettings) -> Policy:
    """Return the router's settings for an app's requests, such as limits, access and timeouts."""
    return Policy(
        maintenance=row.maintenance,
        maintenance_page=row.maintenance_page,
        error_page=row.error_page,
        canonical_host=row.canonical_host,
        https_only=row.https_only,
        hsts_seconds=row.hsts_seconds,
        limits=RequestLimits(
            body=row.body_limit,
            headers=row.header_limit,
            rate=row.rate,
            client_rate=row.client_rate,
            open=row.open_limit,
            client_open=row.client_open_limit,
        ),
        timeout_seconds=row.timeout_seconds,
        hold_seconds=row.hold_seconds,
        allowed=tuple(ip_network(text) for text in row.allowed),
        auth=_auth_of(row),
        sticky=row.sticky,
        http2=row.http2,
        keep_alive=row.keep_alive,
    )


def paths_of(row: TrafficSettings) -> tuple[PathRoute, ...]:
    """Return the process types that receive the requests below certain paths."""
    return tuple(PathRoute(prefix=prefix, process=process) for prefix, process in row.paths)


def sleep_of(row: TrafficSettings, quota: Quota) -> Sleep | None:
    """Return when the app falls asleep, or None for never."""
    minutes = quota.sleep_minutes if row.sleep_minutes is None else row.sleep_minutes
    if not minutes:
        return None
    return Sleep(
        after=minutes * 60.0,
        stop_after=row.stop_minutes * 60.0,
        jobs_keep_awake=row.jobs_keep_awake,
        workers_keep_awake=row.workers_keep_awake,
    )


def _auth_of(row: TrafficSettings) -> BasicAuth | None:
    if not row.auth:
        return None
    return BasicAuth(
        salt=row.auth_salt,
        credentials=tuple(
            Credential(name=name, digest=digest) for name, digest in sorted(row.auth.items())
        ),
    )
