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
