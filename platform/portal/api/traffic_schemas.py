"""Request and response schemas for traffic and domains."""

from __future__ import annotations

from datetime import datetime

from ninja import Schema
from pydantic import ConfigDict

from portal.api.schemas import RequestSchema
from portal.traffic.models import TrafficSettings


class TrafficIn(RequestSchema):
    """Traffic settings to change. A field that is left out does not change. Sizes in bytes, times
    in seconds; 0 and "" mean none."""

    way: str | None = None  # rolling, blue-green, canary or recreate
    surge: int | None = None
    canary_steps: list[list[int]] | None = None  # [percent, seconds] each
    preview_token: str | None = None
    drain_seconds: int | None = None
    hold_seconds: int | None = None
    jobs_keep_awake: bool | None = None
    workers_keep_awake: bool | None = None
    sleep_minutes: int | None = None  # without a request; 0: never; null: the team's quota decides
    stop_minutes: int | None = None
    autoscale: bool | None = None  # of the process type web
    autoscale_target: str | None = None  # requests, cpu, latency or queue
    autoscale_value: int | None = None
    autoscale_least: int | None = None
    autoscale_most: int | None = None
    timeout_seconds: int | None = None
    body_limit: int | None = None
    header_limit: int | None = None
    rate: int | None = None
    client_rate: int | None = None
    open_limit: int | None = None
    client_open_limit: int | None = None
    sticky: bool | None = None
    http2: bool | None = None
    keep_alive: bool | None = None
    paths: list[list[str]] | None = None  # [path, process type] each
    canonical_host: str | None = None
    https_only: bool | None = None
    hsts_seconds: int | None = None
    allowed: list[str] | None = None  # addresses and networks
    maintenance: bool | None = None
    maintenance_page: str | None = None
    error_page: str | None = None


class TrafficOut(TrafficIn):
    """All traffic settings of an app, and the user names for basic authentication."""

    model_config = ConfigDict(extra="ignore")  # it is made from a row, which has more

    auth_names: list[str]

    @staticmethod
    def resolve_auth_names(row: TrafficSettings) -> list[str]:
        return sorted(row.auth)


class ScalingOut(Schema):
    """A decision of autoscaling. If `after` is less than `wanted`, `refused` has the reason."""

    at: datetime
    before: int
    wanted: int
    after: int
    reason: str
    refused: str


class SavedOut(Schema):
    """The resources that sleep has saved in the last `of_seconds`, at most a week. `memory_bytes`
    is the average of the freed memory."""

    of_seconds: int
    asleep_seconds: int
    stopped_seconds: int
    naps: int
    instance_seconds: int
    memory_bytes: int
    asleep_since: datetime | None


class CredentialIn(RequestSchema):
    """A user for basic authentication."""

    password: str


class DomainIn(RequestSchema):
    host: str  # `*.example.com` for all names one level below


class DomainProofOut(Schema):
    """Two alternatives that verify the domain: a TXT record, or a file at a URL, with the token as
    content."""

    record: str
    file: str | None  # null for a wildcard
    token: str


class CertificateOut(Schema):
    """The certificate that is served for a domain, and the reason if there is no newer one."""

    uploaded: bool
    issuer: str
    names: list[str]
    not_after: datetime | None
    reason: str
    next_try_at: datetime | None


class DomainOut(Schema):
    host: str
    state: str  # waiting, verified or unproven
    reason: str
    checked_at: datetime | None
    proof: DomainProofOut
    certificate: CertificateOut | None


class CertificateIn(RequestSchema):
    """PEM: the certificate of the domain first, then the chain. The key must not have a
    password."""

    chain: str
    key: str
