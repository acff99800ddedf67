"""`python -m bench.portal`: measures the speed of the API's list of 1,000 apps.

It also measures the wait of another team while one person sends 100 requests at once. It starts its
own portal as `make up` does, on a free port, with its own state. It needs redis-server and wrk.
"""

import http.client
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
APPS, PARALLEL, SECONDS = 1000, 100, 6
# High limits, so that the first figure depends only on the portal.
CALM = {f"SLIPWAY_{name}_PER_SECOND": "100000" for name in ("PERSON", "TOKEN", "ADDRESS")}
_SEED = """
import json, sys
import portal.settings, django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from portal.lifecycle.account_actions import create_person, create_team, create_token
from portal.apps.models import App, Instance, ProcessFormation
from portal.builds.models import Build, Source
from portal.releases.models import Release, Rollout
tokens = {}
source = Source.objects.create(digest="0" * 64, size=1)
for name, apps in (("busy", int(sys.argv[1])), ("other", 3)):
    person = create_person(None, username=name, password="a quiet harbour 7")
    team = create_team(person, name=name)
    made = App.objects.bulk_create(App(team=team, name=f"{name}-{number:04}") for number in range(apps))
    builds = Build.objects.bulk_create(Build(app=app, source=source, state="succeeded", description="x", created_by=person) for app in made)
    web = {"web": "python app.py"}
    releases = Release.objects.bulk_create(
        Release(app=app, number=1, image="sha256:0", processes=web, build=build, encrypted_config=b"x" * 300, description="Deploy")
        for app, build in zip(made, builds)
    )
    Rollout.objects.bulk_create(Rollout(release=release, state="live") for release in releases)
    ProcessFormation.objects.bulk_create(ProcessFormation(app=app, process="web", count=1) for app in made)
    Instance.objects.bulk_create(Instance(id=f"{app.name}-1", app=app, process="web", release_number=1, node="n", state="live") for app in made)
    for app, release in zip(made, releases):
        app.current_release = release
    App.objects.bulk_update(made, ["current_release"])
    tokens[name] = create_token(person, label="bench")[1]
print(json.dumps(tokens))
"""  # noqa: E501


def main() -> int:
    for limited in (False, True):
        with portal({} if limited else CALM) as (url, tokens, gunicorn):
            other = Client(url, tokens["other"])
            for name in tokens:
                for _ in range(10):
                    Client(url, tokens[name]).get()  # so that each process has loaded its modules
            if not limited:
                print(
                    f"list of {APPS}      {PARALLEL} at once:"
                    f" {load(url, tokens['busy'], gunicorn)}",
                    flush=True,
                )
                print(
                    f"list of 3         {PARALLEL} at once: {load(url, tokens['other'], gunicorn)}",
                    flush=True,
                )
                print(
                    f"list of {APPS}      unchanged (If-None-Match):"
                    f" {load(url, tokens['busy'], gunicorn, etag=True)}",
                    flush=True,
                )
                print(f"portal memory     {memory_of(gunicorn)}", flush=True)
            words = "with the usual limits" if limited else "without limits"
            print(f"another team      alone: {other.waits(3)}", flush=True)
            flood = wrk(url, tokens["busy"], SECONDS + 1)
            time.sleep(1)
            print(
                f"another team      during {PARALLEL} requests at once, {words}:"
                f" {other.waits(SECONDS - 1)}",
                flush=True,
            )
            flood.communicate(timeout=30)
    return 0


class Client:
    """A client with one kept connection."""

    def __init__(self, url: str, token: str) -> None:
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
        self._headers = {"Authorization": f"Bearer {token}"}

    def get(self) -> http.client.HTTPResponse:
        self._connection.request("GET", "/api/v1/apps", headers=self._headers)
        answer = self._connection.getresponse()
        answer.read()
        return answer

    def waits(self, seconds: float) -> str:
        """Return the median and the 99th percentile of a request every 50 ms."""
        took, refused, end = [], 0, time.monotonic() + seconds
        while time.monotonic() < end:
            begun = time.monotonic()
            refused += self.get().status != 200
            took.append((time.monotonic() - begun) * 1000)
            time.sleep(max(0.05 - took[-1] / 1000, 0))
        ordered = sorted(took)
        p99 = ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)]
        return (
            f"p50 {statistics.median(ordered):.1f} ms, p99 {p99:.1f} ms of {len(took)} requests,"
            f" {refused} refused"
        )


def wrk(url: str, token: str, seconds: int, *headers: str) -> subprocess.Popen[str]:
    words = [
        word for header in (f"Authorization: Bearer {token}", *headers) for word in ("-H", header)
    ]
    return subprocess.Popen(
        (
            "wrk",
            "-t1",
            f"-c{PARALLEL}",
            f"-d{seconds}s",
            "--timeout",
            "20s",
            *words,
            f"{url}/api/v1/apps",
        ),
        stdout=subprocess.PIPE,
        text=True,
    )


def load(url: str, token: str, gunicorn: int, *, etag: bool = False) -> str:
    """Return the requests per second and the CPU time of each.

    The latter is valid on a busy machine too.
    """
    tag = Client(url, token).get().headers.get("ETag") if etag else None
    used = cpu_of(gunicorn)
    output = wrk(url, token, SECONDS, *((f"If-None-Match: {tag}",) if tag else ())).communicate(
        timeout=60
    )[0]
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    count = re.search(r"(\d+) requests in", output)
    assert rate is not None, output
    assert count is not None, output
    each = (cpu_of(gunicorn) - used) * 1000 / max(int(count[1]), 1)
    return (
        f"{float(rate[1]):.0f} requests/s, {each:.2f} ms of CPU each ({failed[1] if failed else 0}"
        " refused)"
    )


def cpu_of(parent: int) -> float:
    """Return the CPU seconds of gunicorn's workers (proc_pid_stat(5), fields 14 and 15)."""
    used = 0
    for process in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        used += int(fields[11]) + int(fields[12])
    return used / os.sysconf("SC_CLK_TCK")


@contextmanager
def portal(environment: dict[str, str]) -> Iterator[tuple[str, dict[str, str], int]]:
    """Start a portal. Yield its address, tokens of two people, and gunicorn's process id."""
    from runtime.config import NodeConfig
    from workers.setup.processes import programs, visible_code

    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        state, run = Path(folder, "state"), Path(folder, "run")
        for part in (
            "db",
            "git",
            "logs/apps",
            "logs/builds",
            "registry/received",
            "registry/uploads",
            "secrets",
            "sources",
        ):
            (state / part).mkdir(parents=True)
        run.mkdir()
        for name in ("django.key", "config.key"):
            (state / "secrets" / name).write_text("q" * 43 + "=")
        config = NodeConfig(state=state, run=run)
        program = next(
            entry
            for entry in programs(config, venv=ROOT / ".venv", router=("true",), private_redis=True)
            if entry.name == "portal"
        )
        command = [
            word.replace(str(visible_code(config)), str(ROOT))
            for word in program.command
            if not word.startswith("--bind")
        ]
        settings = {
            **os.environ,
            **program.environment,
            "SLIPWAY_STATE": str(state),
            "SLIPWAY_RUN": str(run),
            **environment,
        }
        settings["PYTHONPATH"] = f"{ROOT / 'platform'}:{ROOT}"
        redis = subprocess.Popen(
            ("redis-server", "--port", "0", "--unixsocket", str(run / "redis.sock"), "--save", ""),
            stdout=subprocess.DEVNULL,
        )
        try:
            seeded = subprocess.run(
                (sys.executable, "-c", _SEED, str(APPS)),
                env=settings,
                cwd=ROOT,
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            gunicorn = subprocess.Popen(
                (*command, f"--bind=127.0.0.1:{port}"),
                env=settings,
                cwd=ROOT,
                stderr=subprocess.DEVNULL,
            )
            try:
                wait_for(port)
                yield f"http://127.0.0.1:{port}", json.loads(seeded.stdout), gunicorn.pid
            finally:
                gunicorn.terminate()
                gunicorn.wait(20)
        finally:
            redis.terminate()
            redis.wait(10)
            shutil.rmtree(state, ignore_errors=True)


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 90
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "the portal did not start"
            time.sleep(0.1)


def memory_of(parent: int) -> str:
    """Return the memory of gunicorn and its workers.

    Shared memory counts once (smaps_rollup, Pss).
    """
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    total = sum(
        int(line.split()[1])
        for process in (str(parent), *children)
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        if line.startswith("Pss:")
    )
    return f"{total / 1024:.0f} MB in {1 + len(children)} processes"


if __name__ == "__main__":
    sys.exit(main())
