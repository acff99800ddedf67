"""Cold builds and code-only redeploys of a Django app and a Next.js app: `python -m bench.cold`.

Also in `make bench`.

A cold build has no layer of the app and no package cache. Its peer is the same commands by hand in
a plain container of the same layers, with the same limits. The runs alternate. A redeploy changes
one line of code; the time of the app's own build script is subtracted, which the script prints.
"""

from __future__ import annotations

import itertools
import re
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from bench.builds import Yard, yard
from runtime.builds.packages.sources import surroundings
from runtime.builds.requests import BuildRequest
from runtime.builds.steps import Tool
from runtime.containers.spec import Bind, ContainerSpec, Limits, Purpose
from runtime.contract.quantities import Bytes, Millicores
from runtime.stacks.builder import ensure_runtime
from runtime.stacks.definition import NODE_DEFAULT, PYTHON, PYTHON_DEFAULT, node, stack_of
from runtime.stacks.stack import Runtime
from tests import warm
from tests.system.support import archives

ROUNDS = 3
WITHIN = 480.0  # seconds of one container
_MARK = "slipway-bench-moment"  # a line of a build script with the time in seconds
_LIMITS = Limits(cpu=Millicores(2000), memory=Bytes(2 << 30), processes=512, disk=Bytes(4 << 30))

DEPENDENCIES = (
    *("django==5.2.*", "gunicorn", "whitenoise", "djangorestframework", "django-filter"),
    *(
        "django-cors-headers",
        "celery",
        "redis",
        "requests",
        "pillow",
        "psycopg[binary]",
        "pydantic",
    ),
    *("httpx", "markdown", "bleach", "python-dateutil", "pyyaml", "jinja2", "boto3", "sentry-sdk"),
)
_MANAGE = f"""import os, sys, time
print("{_MARK}", time.time(), flush=True)
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
print("{_MARK}", time.time(), flush=True)
"""
_SETTINGS = """BASE_DIR = Path(__file__).parent.parent
SECRET_KEY = "of the benchmark"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes",
                  "django.contrib.sessions", "django.contrib.messages",
                  "django.contrib.staticfiles", "rest_framework", "django_filters"]
ROOT_URLCONF = "shop.urls"
STATIC_URL, STATIC_ROOT = "/static/", BASE_DIR / "staticfiles"
"""
_TIMED = f"""const {{ spawnSync }} = require("node:child_process")
const mark = () => console.log("{_MARK}", Date.now() / 1000)
mark()
const done = spawnSync("next", ["build"], {{ stdio: "inherit" }})
mark()
process.exit(done.status)
"""
_PACKAGE = """{"private": true, "version": "1.0.@PACKAGES@",
 "scripts": {"build": "node timed.js", "start": "next start"},
 "dependencies": {"next": "^16.0.0", "react": "^19.0.0", "react-dom": "^19.0.0"},
 "devDependencies": {"typescript": "^5.0.0"}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """An app, and the commands that build it by hand in /app."""

    name: str
    runtime: Runtime
    tool: Tool
    files: dict[str, str]
    by_hand: str

    def source(self, *, packages: int, code: int) -> dict[str, str]:
        """Return the files. Another number makes the dependencies or the code new."""
        return {
            name: text.replace("@PACKAGES@", str(packages)).replace("@CODE@", str(code))
            for name, text in self.files.items()
        }


DJANGO = Shop(
    name="Django",
    runtime=PYTHON[PYTHON_DEFAULT],
    tool=Tool.UV,
    files={
        "manage.py": _MANAGE,
        "requirements.txt": "\n".join(DEPENDENCIES) + "\n# @PACKAGES@\n",
        "shop/__init__.py": "",
        "shop/settings.py": _SETTINGS,
        "shop/urls.py": "urlpatterns = []  # @CODE@\n",
        "shop/wsgi.py": (
            "from django.core.wsgi import get_wsgi_application\n"
            "application = get_wsgi_application()\n"
        ),
        "Procfile": "web: gunicorn shop.wsgi\n",
    },
    by_hand=(
        "uv venv --quiet /opt/venv && uv pip install --python /opt/venv/bin/python"
        " -r requirements.txt && /opt/venv/bin/python manage.py collectstatic --noinput"
    ),
)
NEXT = Shop(
    name="Next.js",
    runtime=node(NODE_DEFAULT),
    tool=Tool.NPM,
    files={
        "package.json": _PACKAGE,
        "timed.js": _TIMED,
        "pages/index.js": "export default function Home() { return <h1>Hello @CODE@</h1> }\n",
    },
    by_hand=(
        "npm install --include=dev --no-audit --no-fund && NODE_ENV=production npm run build"
        " && npm prune --omit=dev --ignore-scripts --no-audit --no-fund"
    ),
)


@dataclass(slots=True, kw_only=True)
class Bench:
    """The two ways to build one app."""

    made: Yard
    shop: Shop
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def build(self, files: dict[str, str], *, team: int) -> tuple[float, float]:
        """Build a source. Return the seconds until the image exists, and those of its script."""
        path, lines = self.made.folder / "source.tar.gz", list[str]()
        path.write_bytes(archives.app(files))
        request = BuildRequest(
            build_id=team * 1000 + next(self._numbers),
            app=f"bench-{self.shop.tool}",
            team=team,
            archive=path,
            filename=path.name,
            limits=_LIMITS,
        )
        begun = time.perf_counter()
        self.made.builder.build(request, lines.append)
        return time.perf_counter() - begun, _of_script(lines)

    def by_hand(self, files: dict[str, str], *, team: int) -> float:
        """Run the commands in a plain container with empty caches. Return the seconds."""
        place = self.made.folder / f"hand-{team}"
        for name, text in files.items():
            (place / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            (place / "source" / name).write_text(text)
        around = surroundings(self.shop.tool, place)
        store, containers = self.made.store, self.made.containers
        layers = ensure_runtime(
            self.made.config, store, self.shop.runtime, stack_of(self.shop.runtime), print
        )
        script = f"mkdir -p /app && cp -R /build/source/. /app && cd /app && {self.shop.by_hand}"
        spec = ContainerSpec(
            id=f"hand-{team}",
            app="bench",
            team=team,
            layers=tuple(store.unpacked(layer) for layer in reversed(layers)),
            command=("/bin/sh", "-c", script),
            environment=around.environment,
            uid=0,
            gid=0,
            limits=_LIMITS,
            binds=(Bind(source=place / "source", target="/build/source"), *around.binds),
            purpose=Purpose.BUILD,
        )
        lines: list[str] = []
        begun = time.perf_counter()
        try:
            end = containers.run(spec, on_output=lambda _, line: lines.append(line), timeout=WITHIN)
            took = time.perf_counter() - begun
        finally:
            containers.remove(spec.id)
            shutil.rmtree(place)
        assert end.code == 0, "\n".join(lines[-30:])
        return took


def report() -> Iterator[tuple[str, str, str]]:
    """Yield (what, promise, found) for each measurement."""
    with yard() as made:
        for number, shop in enumerate((DJANGO, NEXT)):
            warm.add(made.config, shop.runtime)
            yield from _of(Bench(made=made, shop=shop), first_team=901 + 100 * number)


def _of(bench: Bench, *, first_team: int) -> Iterator[tuple[str, str, str]]:
    name, ours, hand = bench.shop.name, list[float](), list[float]()
    for team in range(first_team, first_team + ROUNDS):  # a new team has no package cache
        files = bench.shop.source(packages=team, code=0)
        hand.append(bench.by_hand(files, team=team))
        ours.append(bench.build(files, team=team)[0])
    ratio = statistics.median(ours) / statistics.median(hand)
    both = f"{statistics.median(ours):.1f} s, by hand {statistics.median(hand):.1f} s"
    yield f"{name}, cold", "<= 1.15 x by hand", f"{both}: {ratio:.2f} times"
    over = []
    for code in range(1, ROUNDS + 1):
        took, script = bench.build(
            bench.shop.source(packages=first_team, code=code), team=first_team
        )
        over.append(took - script)
    yield (
        f"{name}, new code",
        "<= 1.2 s over script",
        f"{statistics.median(over):.2f} s median, {max(over):.2f} s worst, up to the image",
    )


def _of_script(lines: list[str]) -> float:
    """Return the seconds between the two times that the build script printed."""
    times = [float(match[1]) for line in lines if (match := re.search(rf"{_MARK} ([\d.]+)", line))]
    assert len(times) == 2, "\n".join(lines[-30:])
    return times[1] - times[0]


def main() -> int:
    for what, promise, found in report():
        print(f"{what:18} {'(' + promise + ')':21} {found}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
