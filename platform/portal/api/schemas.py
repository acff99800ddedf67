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


class NetworkIn(Schema):
    """All of a team's network policy: what is left out gets its default."""

    egress: str = "open"  # open, allow-list or none
    destinations: list[str] = []  # noqa: RUF012  # pydantic copies it; the allow list: HOST, HOST:PORT, ADDRESS/BITS, ADDRESS/BITS:PORT-PORT
    builds_open: bool = False  # builds may reach the internet whatever `egress` says
    bandwidth: int = 0  # bits per second of one container, each way; 0: unlimited


class NetworkOut(NetworkIn):
    sent_this_month: int | None  # bytes; null while they are not known
    received_this_month: int | None


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


class HealthIn(Schema):
    """What is to change of the app's own health check; what is left out stays, null is the usual value. Times in seconds."""

    kind: str | None = None  # http, tcp or command
    path: str | None = None  # of http
    command: str | None = None  # of command: a shell line
    timeout: float | None = None  # of one check
    start_period: float | None = None
    interval: float | None = None
    attempts: int | None = None


class HealthSettingsOut(Schema):
    """The app's own health check, as it was set on the settings page or here."""

    kind: str
    path: str
    command: str
    timeout: float
    start_period: float
    interval: float
    attempts: int


class HealthOut(Schema):
    """The check that counts for the live release, and who says it; `settings` is null where nothing was set."""

    source: str  # file, settings, dockerfile or default
    counts: AppFileHealthOut
    settings: HealthSettingsOut | None


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


class ImageLineOut(Schema):
    """One kept image. Bytes, packed: `own` are in no other kept image, `shared` are; null until its node told of it."""

    app: str
    name: str  # of a release, such as v3, or a tag
    digest: str
    tags: list[str]
    layers: int | None
    own_bytes: int | None
    shared_bytes: int | None


class LayerOut(Schema):
    """One layer and who has it too: your team's other apps by name, other teams' as a number."""

    digest: str
    diff_id: str
    created_by: str
    bytes: int
    unpacked_bytes: int
    shared_with: list[str]
    shared_with_others: int


class ImageConfigOut(Schema):
    environment: dict[str, str]
    working_directory: str
    user: str
    entrypoint: list[str]
    command: list[str]
    labels: dict[str, str]
    exposed_ports: list[str]
    volumes: list[str]
    stop_signal: str


class ImageOut(Schema):
    """One image; layers topmost first."""

    app: str
    name: str
    digest: str
    kept: bool
    tags: list[str]
    own_bytes: int
    shared_bytes: int
    layers: list[LayerOut]
    config: ImageConfigOut


class ChangeOut(Schema):
    """A file that differs: A added, C changed, D deleted. What is no text in its name is escaped."""

    kind: str
    path: str
    bytes: int


class ImageJobOut(Schema):
    """Something done with images on their node. `changes` are the first of them; the numbers are of all."""

    id: int
    kind: str  # compare, written, commit or save
    state: str  # queued, working, done or failed
    reason: str
    created_at: datetime
    finished_at: datetime | None
    changes: list[ChangeOut]
    added: int | None
    changed: int | None
    deleted: int | None
    whole: bool | None
    digest: str | None  # of the image that a commit made
    tag: str | None
    release: int | None
    filename: str | None  # of the archive that a save made
    bytes: int | None


class CompareIn(Schema):
    to: str


class SaveIn(Schema):
    format: str = "docker-archive"  # or oci-archive


class TagIn(Schema):
    image: str


class CommitIn(Schema):
    tag: str
    deploy: bool = False
