"""What the API says and takes of traffic and domains."""

from __future__ import annotations

from datetime import datetime

from ninja import Schema


class TrafficIn(Schema):
    """Traffic settings to change; what is left out stays. Sizes in bytes, times in seconds, 0 and "" for none."""

    way: str | None = None  # rolling, blue-green, canary or recreate
    surge: int | None = None
    canary_steps: list[list[int]] | None = None  # [percent, seconds] each
    preview_token: str | None = None
    drain_seconds: int | None = None
    hold_seconds: int | None = None
    jobs_keep_awake: bool | None = None
    workers_keep_awake: bool | None = None
    sleep_minutes: int | None = None  # without a request; 0: never; null: as the team's quota says
    stop_minutes: int | None = None
    autoscale: bool | None = None  # of web
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
    """All of an app's traffic settings, and the names that pass basic auth."""

    auth_names: list[str]


class ScalingOut(Schema):
    """A decision of autoscaling. `after` is less than `wanted` where `refused` says why."""

    at: datetime
    before: int
    wanted: int
    after: int
    reason: str
    refused: str


class SavedOut(Schema):
    """What sleeping saved in the last `of_seconds`, a week at most. `memory_bytes` is what was free because of it, on average."""

    of_seconds: int
    asleep_seconds: int
    stopped_seconds: int
    naps: int
    instance_seconds: int
    memory_bytes: int
    asleep_since: datetime | None


class CredentialIn(Schema):
    """Somebody who may pass basic auth."""

    password: str


class DomainIn(Schema):
    host: str  # `*.example.com` for all names one level below


class DomainProofOut(Schema):
    """Either proves the domain: a TXT record, or a file at an address, that says the token."""

    record: str
    file: str | None  # none for a wildcard
    token: str


class CertificateOut(Schema):
    """What browsers are shown for a domain, and why there is nothing newer."""

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


class CertificateIn(Schema):
    """PEM: the domain's own certificate first, then the chain; the key without a password."""

    chain: str
    key: str
