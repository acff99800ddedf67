"""Tests of quotas.

A team over its quota is refused everywhere, and a lowered limit applies to running instances.
"""

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtime.process import run
from tests.system.support import archives
from tests.system.support.waiting import until
from tests.system.test_push import GIT

TEAM = "tight"
APP = "spinner"
MIB = 2**20

SPINNER = """
import os, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
def spin():
    while True:
        pass
class Fine(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(204)
        self.end_headers()
for _ in range(2):
    threading.Thread(target=spin, daemon=True).start()
HTTPServer(("0.0.0.0", int(os.environ["PORT"])), Fine).serve_forever()
"""


@pytest.fixture(scope="module")
def spinner(box, admin) -> Iterator[str]:
    admin.create_team(TEAM)
    admin.set_quota(TEAM)
    admin.create_app(TEAM, APP)
    admin.deployed(APP, archives.python(SPINNER))
    yield APP
    admin.scale(APP, 0)  # two busy threads would slow all later tests


@pytest.fixture
def full(spinner, admin) -> Iterator[None]:
    """Set a quota that allows no further app and no further memory."""
    admin.set_quota(TEAM, apps=1, memory=256 * MIB)
    yield
    admin.set_quota(TEAM)


def test_the_page_refuses_an_extra_app_with_limit_use_and_admin(full, admin):
    page = admin.post("/new", {"team": TEAM, "name": "one-too-many"})
    assert_refused(page.text, admin, "1 apps", "It uses 1")
    assert admin.api.get("/apps/one-too-many").status_code == 404


def test_the_api_refuses_an_extra_app(full, admin):
    response = admin.api.post("/apps", json={"team": TEAM, "name": "one-too-many"})
    assert response.status_code == 403
    assert_refused(response.text, admin, "1 apps", "It uses 1")


def test_an_upload_is_refused(full, admin):
    response = admin.upload(APP, archives.python(SPINNER))
    assert response.status_code == 403
    assert_refused(response.text, admin, "256 MiB", "512 MiB")


def test_a_push_is_refused_and_nothing_is_built(full, box, admin, tmp_path):
    archive = tmp_path / "source.tar.gz"
    archive.write_bytes(archives.python(SPINNER))
    clone = tmp_path / "clone"
    clone.mkdir()
    run(["tar", "xzf", archive, "-C", clone])
    run(["git", "init", "-q", "-b", "main"], cwd=clone, env=GIT)
    run(["git", "add", "-A"], cwd=clone, env=GIT)
    run(
        [
            "git",
            "-c",
            "user.name=tests",
            "-c",
            "user.email=tests@localhost",
            "commit",
            "-q",
            "-m",
            "Spin",
        ],
        cwd=clone,
        env=GIT,
    )
    builds = len(admin.get(f"/apps/{APP}/builds"))
    address = f"http://{admin.username}:{admin.token}@127.0.0.1:{box.port}/git/{APP}.git"
    pushed = run(["git", "push", address, "HEAD:main"], cwd=clone, env=GIT, check=False)
    assert pushed.returncode != 0
    assert_refused(
        re.sub(r"\s*\nremote:\s*", " ", pushed.stderr.decode()), admin, "256 MiB", "512 MiB"
    )
    assert len(admin.get(f"/apps/{APP}/builds")) == builds


def test_fifty_requests_at_once_create_exactly_the_allowed_apps(spinner, admin):
    admin.set_quota(TEAM, apps=4)
    with ThreadPoolExecutor(50) as pool:
        statuses = list(
            pool.map(
                lambda number: (
                    admin.api.post(
                        "/apps", json={"team": TEAM, "name": f"crowd-{number}"}
                    ).status_code
                ),
                range(50),
            )
        )
    assert set(statuses) == {201, 403}, statuses
    assert statuses.count(403) == 47


def test_a_lowered_cpu_quota_limits_a_busy_loop_within_two_seconds(spinner, box, admin):
    cgroup = cpu_cgroup(box)
    until(lambda: used_of(cgroup, 0.5) > 0.35, within=20, what="the loop is busy")
    before = box.instance_pids()
    admin.set_quota(TEAM, cpu_per_instance=100)
    begun = time.monotonic()
    until(
        lambda: used_of(cgroup, 0.5) < 0.16, within=5, what="the loop is held to a tenth of a core"
    )
    assert time.monotonic() - begun < 2 + 0.5, (
        "within two seconds, and the half second of the last measurement"
    )
    assert box.instance_pids() == before, "without a restart"


def assert_refused(text: str, admin, *words: str) -> None:
    text = re.sub(r"<[^>]+>|&#x27;|\s+", " ", text)
    for word in (*words, "ask an admin", admin.username):
        assert word in text, f"{word!r} is not in: {text[:3000]}"


def cpu_cgroup(box) -> Path:
    """Return the folder that counts the spinner's CPU time: v1's cpuacct or v2's own."""
    name = next(path for path in box.instance_pids() if APP in path)
    for root in (
        "/sys/fs/cgroup/cpu,cpuacct",
        "/sys/fs/cgroup/cpuacct",
        "/sys/fs/cgroup/cpu",
        "/sys/fs/cgroup",
    ):
        folder = Path(root) / name
        if (folder / "cpuacct.usage").exists() or (
            (folder / "cpu.stat").exists() and (root == "/sys/fs/cgroup")
        ):
            return folder
    raise AssertionError(f"no cgroup counts the CPU time of {name}")


def used_of(cgroup: Path, seconds: float) -> float:
    """Return the cores used over the next `seconds`."""

    def used() -> float:
        if (cgroup / "cpuacct.usage").exists():
            return int((cgroup / "cpuacct.usage").read_text()) / 1e9
        return int((cgroup / "cpu.stat").read_text().split()[1]) / 1e6

    begun, before = time.monotonic(), used()
    time.sleep(seconds)  # the measurement itself
    return (used() - before) / (time.monotonic() - begun)
