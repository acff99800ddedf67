"""`python -m bench.pages`: measures the portal's pages with 5,000 apps of one person.

It prints for each page the server time, the queries, and the sizes: the HTML, and all that a
browser without a cache loads (compressed). The database changes before each request, so that no
cached list helps. It uses its own state folder and a private Redis. `database=postgres://…` uses
an empty PostgreSQL database instead of SQLite.
"""

import gzip
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
APPS, ROUNDS = 5000, 9
LOG_LINES = 50_000
MOST_MILLISECONDS, MOST_QUERIES = 100, 25
MOST_HTML, MOST_COLD = 100_000, 250_000  # bytes
PAGES = {
    "home": "/",
    "images": "/images",
    "overview": "/apps/app-7",
    "deploys": "/apps/app-7/deploys",
    "logs": "/apps/app-7/logs",
    "logs search": "/apps/app-7/logs?q=nothing-has-this",
    "metrics": "/apps/app-7/metrics",
    "month of web": "/apps/app-7/metrics?span=30d&part=web",
    "admin": "/admin",
}
_STATIC = re.compile(r'(?:href|src)="/static/([^"#?]+)')
_IN_STYLES = re.compile(r"url\(\"?([^)\"]+\.woff2)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Milliseconds, queries and bytes of one page."""

    first: float  # the first request of the process
    time: float  # the median
    cpu: float  # the median of the CPU time, which other work on the machine does not change
    queries: int
    html: int
    compressed: int
    cold: int  # compressed, with all static files

    @property
    def faults(self) -> list[str]:
        goals = (
            ("server time", self.time, MOST_MILLISECONDS),
            ("queries", self.queries, MOST_QUERIES),
            ("HTML", self.html, MOST_HTML),
            ("cold", self.cold, MOST_COLD),
        )
        return [name for name, value, most in goals if value >= most]


def main() -> int:
    database = dict(word.split("=", 1) for word in sys.argv[1:]).get("database", "")
    is_over = False
    for line in report(database):
        print(line, flush=True)
        is_over |= "over its goal" in line
    return int(is_over)


def report(database: str = "") -> Iterator[str]:
    """Yield one line per page."""
    with _portal(database):
        client = _seeded()
        names = f"{'first':>8} {'median':>8} {'CPU':>8} {'queries':>8}"
        yield f"{'page':12} {names} {'HTML':>9} {'gzip':>9} {'cold':>9}"
        for name, path in PAGES.items():
            found = _measure(client, path)
            fault = f"  over its goal: {', '.join(found.faults)}" if found.faults else ""
            yield (
                f"{name:12} {found.first:5.0f} ms {found.time:5.0f} ms {found.cpu:5.0f} ms"
                f" {found.queries:8}"
                f" {_kb(found.html)} {_kb(found.compressed)} {_kb(found.cold)}{fault}"
            )


def _measure(client, path: str) -> Measured:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from portal.accounts.models import Token

    took, used, answer = [], [], None
    for number in range(ROUNDS + 1):
        Token.objects.create(person_id=1, label=path, digest=f"{path} {number} {time.time_ns()}")
        begun, before = time.perf_counter(), time.process_time()
        answer = client.get(path)
        took.append((time.perf_counter() - begun) * 1000)
        used.append((time.process_time() - before) * 1000)
        assert answer.status_code == 200, f"{path} answered {answer.status_code}"
    with CaptureQueriesContext(connection) as queries:
        client.get(path)
    assert answer is not None
    html = answer.content
    compressed = len(gzip.compress(html, 6))
    return Measured(
        first=took[0],
        time=statistics.median(took[1:]),
        cpu=statistics.median(used[1:]),
        queries=len(queries),
        html=len(html),
        compressed=compressed,
        cold=compressed + sum(_weight(name) for name in _files(html.decode())),
    )


def _files(html: str) -> set[str]:
    """Return the static files that the page loads, with the fonts of its styles."""
    names = set(_STATIC.findall(html))
    for style in [name for name in names if name.endswith(".css")]:
        names |= {
            os.path.normpath(f"{Path(style).parent}/{font}")
            for font in _IN_STYLES.findall(_path(style).read_text())
            if "latin." in font
        }
    return names


def _weight(name: str) -> int:
    content = _path(name).read_bytes()
    return len(content) if name.endswith(".woff2") else len(gzip.compress(content, 6))


def _path(name: str) -> Path:
    from django.contrib.staticfiles import finders

    plain = re.sub(r"\.[0-9a-f]{12}(?=\.\w+$)", "", name)
    found = finders.find(plain)
    assert found, f"{plain} is missing: run `npm run build` first"
    return Path(str(found))


def _kb(size: int) -> str:
    return f"{size / 1000:6.1f} kB"


def _seeded():
    """Create the rows, a long log and the points of one app. Return a signed-in client."""
    from django.conf import settings
    from django.core.management import call_command
    from django.test import Client

    from portal.accounts.models import Person
    from tests.portal.conftest import make_people
    from tests.portal.pages.fleet import write_log
    from tests.portal.pages.fleet_series import write_series
    from tests.portal.pages.many import add_images, add_many

    call_command("migrate", verbosity=0)
    people = make_people()
    add_many(people, APPS)
    add_images()
    Person.objects.filter(pk=people.owner.pk).update(is_staff=True)
    write_series("app-7", points=700)
    lines = [("web.1", "stdout", f"GET /items/{number} 200") for number in range(LOG_LINES)]
    write_log(settings.APP_LOGS / "app-7.log", lines, ago=LOG_LINES, step=1)
    client = Client()
    client.force_login(people.owner)
    client.get("/account")  # loads the modules
    return client


@contextmanager
def _portal(database: str) -> Iterator[None]:
    """Set Django up with its own state folder and Redis."""
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        state, run = Path(folder, "state"), Path(folder, "run")
        for part in ("db", "git", "logs/apps", "logs/builds", "registry", "secrets", "sources"):
            (state / part).mkdir(parents=True)
        run.mkdir()
        for name in ("django.key", "config.key"):
            (state / "secrets" / name).write_text("q" * 42 + "o=")
        os.environ |= {
            "SLIPWAY_STATE": str(state),
            "SLIPWAY_RUN": str(run),
            "DATABASE_URL": database,
            "REDIS_URL": "",
            "DJANGO_SETTINGS_MODULE": "portal.settings",
        }
        redis = subprocess.Popen(
            ("redis-server", "--port", "0", "--unixsocket", str(run / "redis.sock"), "--save", ""),
            stdout=subprocess.DEVNULL,
        )
        try:
            import django

            django.setup()
            from django.test.utils import setup_test_environment

            setup_test_environment()
            yield
        finally:
            redis.terminate()
            redis.wait(10)


if __name__ == "__main__":
    sys.exit(main())
