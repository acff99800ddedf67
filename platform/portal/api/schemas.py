"""What the API says and takes: the shapes of /api/openapi.json."""

from __future__ import annotations

from datetime import datetime

from ninja import Schema


class ProblemOut(Schema):
    """Any refusal."""

    error: str
    hint: str


class TeamOut(Schema):
    name: str


class AppIn(Schema):
    name: str
    team: str | None = None  # needed only by people in several teams


class AppOut(Schema):
    """An app, and how it is in one word and one sentence."""

    name: str
    team: str
    url: str
    state: str  # live, changing, failed, asleep or stopped
    status: str
    release: int | None
    created_at: datetime


class BuildOut(Schema):
    """One build; `release` is there once it succeeded, `position` (from 1) while it waits for its turn."""

    id: int
    state: str
    reason: str
    origin: str
    description: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    release: int | None
    position: int | None


class ReleaseOut(Schema):
    number: int
    description: str
    image: str
    processes: dict[str, str]
    by: str | None
    created_at: datetime
    current: bool


class StepOut(Schema):
    at: datetime
    text: str


class RolloutOut(Schema):
    """Moving traffic to one release."""

    release: int
    state: str
    reason: str
    steps: list[StepOut]
    created_at: datetime
    finished_at: datetime | None


class CronOut(Schema):
    """A job of the live release; five fields of crontab(5)."""

    name: str
    schedule: str
    timezone: str
    command: str
    overlap: str
    timeout: float
    next_at: datetime


class RunOut(Schema):
    """One run of a job, or of the post-deploy script. `scheduled_for` is null where somebody asked for it."""

    id: int
    kind: str
    name: str
    release: int
    command: str
    state: str  # queued, running, succeeded, failed, skipped or stopped
    reason: str
    by: str | None
    scheduled_for: datetime | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    seconds: float | None


class AppFileProcessOut(Schema):
    """CPU in millicores, memory and disk in bytes; null where the file does not say."""

    count: int | None
    cpu: int | None
    memory: int | None
    disk: int | None
    pids: int | None


class AppFileVariableOut(Schema):
    """A config var it wants. The value itself is among the config vars."""

    default: bool
    generated: bool
    required: bool
    missing: bool
    description: str


class AppFileHealthOut(Schema):
    """The check that counts for the live release."""

    kind: str
    check: str
    timeout: float
    start_period: float
    interval: float
    attempts: int


class AppFileOut(Schema):
    """What the live release's slipway.toml or app.json says, by the keys of docs/manifest.md; `file` is null where there is none."""

    file: str | None
    processes: dict[str, AppFileProcessOut]
    env: dict[str, AppFileVariableOut]
    release_timeout: float
    postdeploy: str | None
    health: AppFileHealthOut | None
    cron: list[str]


class ConfigIn(Schema):
    """Config vars to set; null unsets one. Others stay."""

    changes: dict[str, str | None]


class ConfigOut(Schema):
    config: dict[str, str]
    release: int | None = None  # the one this change made


class SizeIn(Schema):
    """What to change of one process type; what is left out stays. CPU in millicores, memory and disk in bytes."""

    count: int | None = None
    cpu: int | None = None
    memory: int | None = None
    processes: int | None = None
    disk: int | None = None


class SizeOut(Schema):
    process: str
    count: int
    cpu: int
    memory: int
    processes: int
    disk: int


class UsageOut(Schema):
    cpu_millicores: int
    memory_bytes: int
    memory_limit: int
    processes: int
    disk_bytes: int


class InstanceOut(Schema):
    """One container, as its node told last."""

    id: str
    process: str
    release: int
    node: str
    state: str
    detail: str
    restarts: int
    started_at: datetime | None
    usage: UsageOut | None


class TrafficIn(Schema):
    """Traffic settings to change; what is left out stays. Sizes in bytes, times in seconds, 0 and "" for none."""

    way: str | None = None  # rolling, blue-green, canary or recreate
    surge: int | None = None
    canary_steps: list[list[int]] | None = None  # [percent, seconds] each
    preview_token: str | None = None
    drain_seconds: int | None = None
    hold_seconds: int | None = None
    sleep_minutes: int | None = None  # without a request; 0: never; null: as the team's quota says
    stop_minutes: int | None = None
    timeout_seconds: int | None = None
    body_limit: int | None = None
    header_limit: int | None = None
    rate: int | None = None
    client_rate: int | None = None
    open_limit: int | None = None
    client_open_limit: int | None = None
    sticky: bool | None = None
    http2: bool | None = None
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


class CredentialIn(Schema):
    """Somebody who may pass basic auth."""

    password: str
