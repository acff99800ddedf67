"""A sample portal with apps in every state, for tests of pages and for manual use. There is no
node, only rows and files."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from portal.accounts.models import Person, Team
from portal.apps.models import App, Instance
from portal.apps.sizes import Size
from portal.builds import sources
from portal.builds.models import Build, Origin
from portal.deploys import actions as builds
from portal.deploys import going_live
from portal.images import actions as image_actions
from portal.images.access import named
from portal.lifecycle import account_actions as accounts
from portal.lifecycle import app_actions as apps
from portal.quotas.actions import set_quota
from portal.releases import actions as releases
from portal.releases.models import Rollout, RolloutState
from tests.portal.pages.fleet_rows import (
    create_domains,
    create_instances,
    create_naps,
    create_runs,
    spread_over_days,
)
from tests.portal.pages.fleet_series import write_series
from tests.portal.pages.images import CHANGES, answer, image

PASSWORD = "a quiet harbour 7"
MIB = 2**20


_NONE = {"cpu": None, "memory": None, "disk": None, "pids": None}
APP_FILE = {  # the content of slipway.toml as the workers store it
    "file": "slipway.toml",
    "processes": {"web": {"count": 2, "sizes": {**_NONE, "memory": 256 * MIB}}},
    "variables": {
        "SESSION_KEY": {
            "value": None,
            "digits": 64,
            "required": False,
            "description": "Signs sessions",
        }
    },
    "release": {"command": "", "timeout": 1200.0},
    "postdeploy": {"command": "python manage.py loaddata demo", "timeout": 1200.0},
    "crons": [
        {
            "name": name,
            "schedule": schedule,
            "command": f"python manage.py {name}",
            "timezone": zone,
            "overlap": "skip",
            "timeout": 600.0,
            "sizes": _NONE,
        }
        for name, schedule, zone in (
            ("digest", "0 7 * * MON-FRI", "Europe/Berlin"),
            ("sweep", "*/15 * * * *", "UTC"),
        )
    ],
    "health": {
        "kind": "http",
        "path": "/healthz",
        "command": [],
        "timeout": 5.0,
        "start_period": 30.0,
        "interval": 10.0,
        "attempts": 3,
        "words": "GET /healthz",
    },
    "image_health": None,
}


def fill() -> None:
    """Create admin `admin`, team `harbour` with `member` and the apps, team `pier`, and `newcomer`
    with an empty team."""
    for log in (*settings.APP_LOGS.glob("*"), *settings.BUILD_LOGS.glob("*")):
        log.unlink()
    admin = accounts.create_person(None, username="admin", password=PASSWORD, admin=True)
    member = accounts.create_person(None, username="member", password=PASSWORD)
    newcomer = accounts.create_person(None, username="newcomer", password=PASSWORD)
    harbour = accounts.create_team(member, name="harbour")
    accounts.add_member(member, team=harbour, username="admin")
    pier = accounts.create_team(admin, name="pier")
    accounts.create_team(newcomer, name="dock")
    set_quota(
        admin,
        team=harbour,
        limits={"cpu": 4000, "memory": 6 * 2**30, "memory_per_instance": 2 * 2**30},
    )
    accounts.create_token(member, label="laptop")
    accounts.create_token(member, label="continuous integration")
    _shop(member, harbour)
    _live(
        member,
        harbour,
        "docs-site",
        {"web": "python3 -m http.server $PORT"},
        deploys=("docs.tar.gz",),
    )
    _building(member, harbour)
    _broken(member, harbour)
    apps.create_app(member, team=harbour, name="empty-hull")
    _live(
        admin,
        pier,
        "ticker",
        {"web": "node server.js", "worker": "node worker.js"},
        deploys=("ticker.zip",),
    )


def sample_usage() -> None:
    """Write what the node's supervisor writes every two seconds: the usage of each live
    instance."""
    from portal.events import client

    for number, instance in enumerate(Instance.objects.filter(state="live")):
        wave = (int(timezone.now().timestamp() * 3) + number * 31) % 60
        sample = {
            "cpu_millicores": 90 + 6 * wave + 40 * number,
            "memory_bytes": (118 + 41 * number) * MIB + wave * 40_000,
            "memory_limit": 512 * MIB,
            "processes": 6,
            "disk_bytes": 3 * MIB,
            "at": timezone.now().timestamp(),
        }
        client().set(f"slipway:usage:{instance.id}", json.dumps(sample), ex=15)


def write_log(
    path: Path, lines: list[tuple[str, str, str]], *, ago: float = 60, step: float = 0.4
) -> None:
    """Write (source, stream, text) lines in the log format. The last one is from now."""
    path.parent.mkdir(parents=True, exist_ok=True)
    begin = datetime.now(UTC) - timedelta(seconds=ago)
    with path.open("a") as file:
        for number, (source, stream, text) in enumerate(lines):
            moment = begin + timedelta(seconds=number * step)
            file.write(
                f"{moment.strftime('%Y-%m-%dT%H:%M:%S')}.{moment.microsecond // 1000:03d}Z {source}"
                f" {stream} {text}\n"
            )


def _shop(person: Person, team: Team) -> None:
    """Create an app with several releases, a config change and a failed rollout."""
    app = _live(
        person,
        team,
        "shop",
        {"web": "gunicorn shop.wsgi", "worker": "celery -A shop worker"},
        deploys=("shop.zip", "shop.zip"),
        file=APP_FILE,
    )
    create_runs(app)
    create_domains(person, app)
    create_naps(app)
    write_series("shop")
    apps.set_config_vars(
        person,
        app=app,
        changes={
            "DATABASE_URL": "postgresql://shop@db/shop",
            "SECRET_KEY": "not-so-secret",
            "FEATURE_NEW_CHECKOUT": "1",
        },
    )
    _finish_open(app)
    failing = _deploy(
        person,
        app,
        "shop-checkout.zip",
        {"web": "gunicorn shop.wsgi", "worker": "celery -A shop worker"},
    )
    releases.advance(failing, RolloutState.LAUNCHING)
    reason = (
        "The instance web did not become healthy within 60 s.\nGET / answered 500, and the last"
        " line of its log was: ModuleNotFoundError: No module named 'payments'.\nAdd the module to"
        " requirements.txt and deploy again."
    )
    releases.finish_failed(failing, reason)
    apps.scale(
        person,
        app=app,
        sizes={"web": Size(count=2), "worker": Size(count=1, cpu=250, memory=256 * MIB)},
    )
    app.refresh_from_db()
    create_instances(app)
    image_actions.add_tag(person, image=named(app, "v1"), tag="before-checkout")
    answer(image_actions.compare(person, before=named(app, "v1"), after=named(app, "v2")), CHANGES)
    requests = [
        ("web.1a2b3c4d", "stdout", '10.210.0.1 - "GET / HTTP/1.1" 200 5120 12ms'),
        (
            "web.9c8d7e6f",
            "stdout",
            '10.210.0.1 - "GET /products/42?ref=mail HTTP/1.1" 200 18233 31ms',
        ),
        ("worker.5e6f7a8b", "stderr", "warning: retrying mail to the queue, attempt 2 of 5"),
        ("web.1a2b3c4d", "stdout", '10.210.0.1 - "POST /cart HTTP/1.1" 302 0 18ms'),
        ("web.9c8d7e6f", "stderr", "ERROR checkout: the payment provider answered 503"),
        ("slipway", "system", "v3 is live, 2 of 2 instances healthy"),
    ]
    failed = (
        "GET /checkout 504 code=H12 too-slow took=30002ms queued=0ms sent=512 instance=shop-web-0"
        f" client=203.0.113.7 request_id={REQUEST}"
    )
    write_log(settings.APP_LOGS / "shop.log", requests * 20)
    write_log(settings.APP_LOGS / "shop.log", [("router", "system", failed), *requests[:2]], ago=10)


# a request that the router answered in place of the shop app
REQUEST = "3f1f8c5e-8a8e-4a53-9d0e-6b2f6c1f9a11"


def _building(person: Person, team: Team) -> None:
    app = _live(person, team, "chat", {"web": "node index.js"}, deploys=("chat.tar.gz",))
    build = _submit(person, app, "chat-rooms.tar.gz")
    builds.mark_building(build)
    write_log(
        settings.BUILD_LOGS / f"{build.pk}.log",
        [
            ("build", "system", "Unpacked chat-rooms.tar.gz: 14 files, 38 KiB"),
            ("build", "system", "Found package.json: this is Node"),
            ("build", "system", "Node 22 layer: reused"),
            ("build", "system", "Dependencies changed: npm ci"),
            ("build", "stdout", "added 68 packages in 2s"),
            (
                "build",
                "stderr",
                "npm warn deprecated har-validator@5.1.5: this library is no longer supported",
            ),
        ],
        ago=4,
    )


def _broken(person: Person, team: Team) -> None:
    app = apps.create_app(person, team=team, name="reports")
    build = _submit(person, app, "reports.zip")
    builds.mark_building(build)
    write_log(
        settings.BUILD_LOGS / f"{build.pk}.log",
        [
            ("build", "system", "Unpacked reports.zip: 6 files, 11 KiB"),
            ("build", "system", "Found requirements.txt: this is Python 3.13"),
            ("build", "system", "Dependencies changed: uv pip install -r requirements.txt"),
            ("build", "stderr", "  × No solution found when resolving dependencies:"),
            (
                "build",
                "stderr",
                "  ╰─▶ Because there is no version of pandas==9.9 and you require pandas==9.9,",
            ),
            ("build", "stderr", "      we can conclude that your requirements are unsatisfiable."),
            ("build", "system", "The build failed."),
        ],
    )
    builds.fail(
        build,
        "The dependencies in requirements.txt could not be installed.\nThere is no version of"
        " pandas==9.9.\nName a version that exists, and deploy again.",
    )


def _live(
    person: Person,
    team: Team,
    name: str,
    processes: dict[str, str],
    *,
    deploys: tuple[str, ...],
    file: dict[str, Any] | None = None,
) -> App:
    app = apps.create_app(person, team=team, name=name)
    for filename in deploys:
        rollout = _deploy(person, app, filename, processes, file)
        releases.add_step(rollout, "start web on this node")
        releases.add_step(rollout, "web answered GET / with 200 after 0.4 s")
        releases.add_step(rollout, f"send traffic to v{rollout.release.number}")
        going_live.finish_live(rollout)
    app.refresh_from_db()
    spread_over_days(app)
    create_instances(app)
    return app


def _deploy(
    person: Person,
    app: App,
    filename: str,
    processes: dict[str, str],
    file: dict[str, Any] | None = None,
) -> Rollout:
    build = _submit(person, app, filename)
    builds.mark_building(build)
    write_log(
        settings.BUILD_LOGS / f"{build.pk}.log",
        [
            ("build", "system", f"Unpacked {filename}"),
            ("build", "system", "Dependencies unchanged: layer reused"),
        ],
    )
    rollout = builds.succeed(build, image(app.name, build.pk), processes, file)
    assert rollout is not None
    return rollout


def _submit(person: Person, app: App, filename: str) -> Build:
    source = sources.store_upload(
        SimpleUploadedFile(filename, f"{app.name} {filename} {Build.objects.count()}".encode()),
        filename=filename,
    )
    return builds.submit(person, app=app, source=source, origin=Origin.UPLOAD, description=filename)


def _finish_open(app: App) -> None:
    for rollout in Rollout.objects.filter(release__app=app, state=RolloutState.PENDING):
        going_live.finish_live(rollout)
    app.refresh_from_db()
