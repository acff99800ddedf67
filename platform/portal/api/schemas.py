"""Request and response schemas of the API (/api/openapi.json)."""

from __future__ import annotations

from datetime import datetime

from ninja import Schema
from pydantic import ConfigDict

from portal.jobs.actions import USUAL_TIMEOUT


class RequestSchema(Schema):
    """The body or query of a request. A name that it does not have is refused, because a misspelt
    one would change nothing without a word."""

    model_config = ConfigDict(extra="forbid")


class ProblemOut(Schema):
    """The body of every error response."""

    error: str
    hint: str


class TeamOut(Schema):
    name: str


class NetworkIn(RequestSchema):
    """A team's whole network policy. A field that is left out gets its default."""

    egress: str = "open"  # open, allow-list or none
    destinations: list[str] = []  # noqa: RUF012  # pydantic copies it; the allow list: HOST, HOST:PORT, ADDRESS/BITS, ADDRESS/BITS:PORT-PORT
    builds_open: bool = False  # builds may connect to the internet regardless of `egress`
    substitutes: bool = False  # builds may use stacks for base images that cannot be fetched
    bandwidth: int = 0  # bits per second of one container in each direction; 0: unlimited


class NetworkOut(NetworkIn):
    model_config = ConfigDict(extra="ignore")  # it is made from a row, which has more

    sent_this_month: int | None  # bytes; null if not known
    received_this_month: int | None


class AppIn(RequestSchema):
    name: str
    team: str | None = None  # required only for people in several teams


class AppOut(Schema):
    """An app with its state as one word and one sentence."""

    name: str
    team: str
    description: str
    url: str
    state: str  # live, changing, failed, asleep or stopped
    status: str
    release: int | None
    created_at: datetime


class BuildOut(Schema):
    """A build. `release` is set after it succeeded, `position` (from 1) while it is queued.

    `commit` is a full hash. It and its author are empty if they are not known.
    """

    id: int
    state: str
    reason: str
    origin: str
    description: str
    commit: str
    author: str
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
    """The replacement of an old release by a new one."""

    release: int
    state: str
    reason: str
    steps: list[StepOut]
    created_at: datetime
    finished_at: datetime | None


class CronOut(Schema):
    """A cron job of the live release; five fields of crontab(5)."""

    name: str
    schedule: str
    timezone: str
    command: str
    overlap: str
    timeout: float
    next_at: datetime


class RunOut(Schema):
    """A run of a cron job, of the post-deploy script or of a command. `scheduled_for` is null if a
    person started it. `exit_code` is null if the process did not end by itself; 128 + N: signal N
    ended it."""

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
    exit_code: int | None


class RunIn(RequestSchema):
    """A command for one instance of the live release, and its most seconds. A shell runs it, as it
    runs a line of a Procfile."""

    command: str
    timeout: float = USUAL_TIMEOUT


class AppFileProcessOut(Schema):
    """CPU in millicores, memory and disk in bytes; null if the manifest does not set it."""

    count: int | None
    cpu: int | None
    memory: int | None
    disk: int | None
    pids: int | None


class AppFileVariableOut(Schema):
    """A config var that the manifest declares. Its value is among the config vars."""

    default: bool
    generated: bool
    required: bool
    missing: bool
    description: str


class AppFileHealthOut(Schema):
    """The effective health check of the live release."""

    kind: str
    check: str
    timeout: float
    start_period: float
    interval: float
    attempts: int


class GitIn(RequestSchema):
    """The branch whose pushes deploy. Null means main and master."""

    branch: str | None


class GitOut(Schema):
    """The branch whose pushes deploy. Null means main and master."""

    branch: str | None


class HealthIn(RequestSchema):
    """Changes to the health check of the app's settings. A field that is left out does not change;
    null sets the default. Times in seconds."""

    kind: str | None = None  # http, tcp or command
    path: str | None = None  # for http
    command: str | None = None  # for command: a shell line
    timeout: float | None = None  # of one check
    start_period: float | None = None
    interval: float | None = None
    attempts: int | None = None


class HealthSettingsOut(Schema):
    """The health check of the app's settings."""

    kind: str
    path: str
    command: str
    timeout: float
    start_period: float
    interval: float
    attempts: int


class HealthOut(Schema):
    """The effective health check of the live release and its source. `settings` is null if none was
    set."""

    source: str  # file, settings, dockerfile or default
    counts: AppFileHealthOut
    settings: HealthSettingsOut | None


class AppFileOut(Schema):
    """The manifest of the live release, by the keys of docs/manifest.md. `file` is null if there is
    no manifest."""

    file: str | None
    processes: dict[str, AppFileProcessOut]
    env: dict[str, AppFileVariableOut]
    release_timeout: float
    postdeploy: str | None
    health: AppFileHealthOut | None
    cron: list[str]


class SizeIn(RequestSchema):
    """Changes to one process type. A field that is left out does not change. CPU in millicores,
    memory and disk in bytes."""

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
    """An instance as its node last reported it."""

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
    """A stored image. Sizes are compressed bytes: `own` are only in this image, `shared` also in
    others. Null until its node has reported them."""

    app: str
    name: str  # of a release, such as v3, or a tag
    digest: str
    tags: list[str]
    layers: int | None
    own_bytes: int | None
    shared_bytes: int | None


class LayerOut(Schema):
    """A layer and the apps that share it: your team's apps by name, other teams' apps as a
    number."""

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
    """An image; the topmost layer is first."""

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
    """A file that differs: A added, C changed, D deleted. Bytes of its name that are not valid text
    are escaped."""

    kind: str
    path: str
    bytes: int


class ImageJobOut(Schema):
    """A job on images, run by their node. `changes` has the first changes; the numbers count all of
    them."""

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
    digest: str | None  # of the image that a commit created
    tag: str | None
    release: int | None
    filename: str | None  # of the archive that a save created
    bytes: int | None


class CompareIn(RequestSchema):
    to: str


class SaveIn(RequestSchema):
    format: str = "docker-archive"  # or oci-archive


class TagIn(RequestSchema):
    image: str


class CommitIn(RequestSchema):
    tag: str
    deploy: bool = False
