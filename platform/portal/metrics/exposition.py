"""Counts of apps for Prometheus: their form in Redis, and the text of `/metrics`.

The supervisor writes the counts (`workers/store/series.py`), in one hash with a field per app.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping

import msgspec
import redis
from prometheus_client import Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from portal.events import client

log = logging.getLogger(__name__)
KEY = "slipway:metrics"
# The router's field in the hash. No app can have this name, and only admins see its count.
ROUTER = "@router"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class RequestCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Requests of one app since the supervisor started."""

    classes: dict[str, int] = msgspec.field(
        default_factory=dict
    )  # `2xx` and so on; `none` without an answer
    codes: dict[str, int] = msgspec.field(
        default_factory=dict
    )  # requests that ended with an error code of the router
    received: int = 0  # bytes from clients
    sent: int = 0  # bytes to clients
    seconds: float = 0.0  # the sum of all durations
    # Upper bound in seconds -> requests that took at most so long; the last bound is `+Inf`.
    buckets: dict[str, int] = msgspec.field(default_factory=dict)
    in_flight: int = 0


class NetworkBytes(msgspec.Struct, frozen=True, kw_only=True):
    """Traffic of the app itself, without requests through the router."""

    egress: int = 0
    ingress: int = 0


class AppCounts(msgspec.Struct, frozen=True, kw_only=True):
    """A value of the hash. A part is None if the app never had such traffic."""

    requests: RequestCounts | None = None
    network: NetworkBytes | None = None
    refused: int | None = None  # connections that the router refused; only in its own field


def counts_of(app_names: Iterable[str] | None) -> dict[str, AppCounts]:
    """Return the counts by app. None requests all apps, the requests that reached no app (``), and
    the router's.

    Empty while Redis or the supervisor is not available.
    """
    try:
        if app_names is None:
            found: Mapping[str, str | None] = client().hgetall(KEY)  # type: ignore[assignment]  # text: decode_responses is on
        else:
            names = list(app_names)
            values: list[str | None] = client().hmget(KEY, names) if names else []  # type: ignore[assignment]  # as above
            found = dict(zip(names, values, strict=True))
    except redis.RedisError as error:
        log.warning("No metrics for Prometheus, because Redis did not answer: %s", error)
        return {}
    counts = {}
    for name, text in found.items():
        if text is not None:
            try:
                counts[name] = msgspec.json.decode(text, type=AppCounts)
            except msgspec.DecodeError as error:
                log.warning("No metrics of %s, because its value is damaged: %s", name, error)
    return counts


def text_of(counts: Mapping[str, AppCounts]) -> str:
    """Return the counts in Prometheus' text format, version 0.0.4."""
    return generate_latest(_Collector(counts)).decode()


class _Collector(Collector):
    """The metric families of some apps. A family without samples is left out."""

    def __init__(self, counts: Mapping[str, AppCounts]) -> None:
        apps = sorted((name, found) for name, found in counts.items() if name != ROUTER)
        self._requests = [(name, found.requests) for name, found in apps if found.requests]
        self._network = [(name, found.network) for name, found in apps if found.network]
        router = counts.get(ROUTER)
        self._refused = router.refused if router else None

    def collect(self) -> Iterator[Metric]:
        for family in (*self._of_requests(), *self._of_network(), *self._of_router()):
            if family.samples:
                yield family

    def _of_requests(self) -> Iterator[Metric]:
        classes = CounterMetricFamily(
            "slipway_requests",
            "Requests by class of status; none: no answer.",
            labels=("app", "status"),
        )
        codes = CounterMetricFamily(
            "slipway_answers_by_router",
            "Requests that ended with an error code of the router.",
            labels=("app", "code"),
        )
        received, sent = (
            CounterMetricFamily(f"slipway_{name}_bytes", f"Bytes {direction}.", labels=("app",))
            for name, direction in (("received", "from clients"), ("sent", "to clients"))
        )
        in_flight = GaugeMetricFamily(
            "slipway_requests_in_flight", "Requests and tunnels open now.", labels=("app",)
        )
        seconds = HistogramMetricFamily(
            "slipway_request_seconds", "Duration of requests, without tunnels.", labels=("app",)
        )
        for app, requests in self._requests:
            for status, count in requests.classes.items():
                classes.add_metric((app, status), count)
            for code, count in requests.codes.items():
                codes.add_metric((app, code), count)
            received.add_metric((app,), requests.received)
            sent.add_metric((app,), requests.sent)
            in_flight.add_metric((app,), requests.in_flight)
            # Without any request there are no buckets, but a histogram needs the last one.
            buckets = list(requests.buckets.items()) or [("+Inf", 0)]
            seconds.add_metric((app,), buckets, requests.seconds)
        return iter((classes, codes, received, sent, in_flight, seconds))

    def _of_network(self) -> Iterator[Metric]:
        for name, direction in (
            ("egress", "sent to the outside"),
            ("ingress", "received from there"),
        ):
            family = CounterMetricFamily(
                f"slipway_{name}_bytes",
                f"Bytes that the app itself has {direction}, without requests through the router.",
                labels=("app",),
            )
            for app, network in self._network:
                family.add_metric((app,), getattr(network, name))
            yield family

    def _of_router(self) -> Iterator[Metric]:
        if self._refused is not None:
            yield CounterMetricFamily(
                "slipway_connections_refused",
                "Connections rejected because their address exceeded its share.",
                value=self._refused,
            )
