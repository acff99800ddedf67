"""Tests of a state disk at 100 %.

The platform stays up, an app that ends is started again, and with free space all continues by
itself.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

import httpx
import pytest

from runtime.kernel import Kernel, MountFlag
from runtime.process import run
from runtime.reserve import Reserve
from tests import warm
from tests.system.support import archives
from tests.system.support.box import ROOT, Box
from tests.system.support.person import Person
from tests.system.support.waiting import until

pytestmark = pytest.mark.slow

TEAM, APP = "crew", "steady"
SIZE = 6 * 2**30  # besides the seeded images


class Ballast:
    """A file that fills a disk. `with` keeps the disk full even when other files are removed."""

    def __init__(self, folder: Path) -> None:
        self._path, self._stop = folder / "ballast", threading.Event()
        self._thread = threading.Thread(target=self._keep_full)

    def fill(self) -> None:
        with self._path.open("ab") as file:
            for step in (2**30, 2**20, 2**12):
                with suppress(OSError):
                    while True:
                        os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, step)

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self.fill()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.remove()

    def _keep_full(self) -> None:
        while not self._stop.wait(0.02):
            self.fill()


@pytest.fixture(scope="module")
def small() -> Iterator[Box]:
    """Yield a platform whose state is on its own disk."""
    box, kernel = Box(), Kernel()
    image, state = box.folder / "disk.img", box.config.state
    with image.open("wb") as file:
        file.truncate(SIZE + warm.size())
    run(["mkfs.ext4", "-q", "-F", "-m", "0", image])
    state.mkdir()
    try:
        with kernel.loop_device(image) as device:
            kernel.mount(device, state, "ext4", flags=MountFlag.NONE)
        warm.seed(box.config)
        box.start()
        yield box
    finally:
        box.down()
        kernel.unmount(state)
        box.forget()


@pytest.fixture(scope="module")
def user(small: Box) -> Person:
    username, password = small.admin()
    person = Person(small.url, username, password)
    person.create_team(TEAM)
    person.set_quota(TEAM)
    person.create_app(TEAM, APP)
    person.deployed(APP, archives.example("hello"))
    return person


def test_on_a_full_disk_a_killed_app_is_restarted_and_the_platform_stays_up(small, user):
    reserve = Reserve(small.config)
    until(lambda: reserve.held == reserve.wanted, within=20, what="the reserve is made")
    parts = small.all_pids()
    ballast = Ballast(small.config.state)
    try:
        for _ in range(3):  # each fill takes the space that was freed last
            ballast.fill()
            before = instance_of(small)
            os.kill(before, signal.SIGKILL)
            until(
                lambda: instance_of(small) not in (0, before) and serves(small),  # noqa: B023
                within=60,
                what="the app is started again",
            )
        assert 0 < reserve.held < reserve.wanted
        assert small.all_pids() == parts, "no process of the platform ended"
        assert httpx.get(f"{small.url}/sign-in", timeout=20).status_code == 200
    finally:
        ballast.remove()
    until(lambda: reserve.held == reserve.wanted, within=20, what="the reserve is whole again")
    user.deployed(APP, archives.example("hello"))


def test_nothing_ends_while_the_disk_stays_full_and_all_continues_with_space(small, user):
    parts = small.all_pids()
    with Ballast(small.config.state):
        until(
            lambda: Reserve(small.config).held == 0, within=60, what="the whole reserve is given up"
        )
        time.sleep(10)
        assert serves(small), "running apps are not affected"
        assert small.all_pids() == parts, "no process of the platform ended"
        os.kill(instance_of(small), signal.SIGKILL)
        time.sleep(3)
    until(
        lambda: serves(small), within=60, what="the app is started again as soon as there is space"
    )
    user.deployed(APP, archives.example("hello"))


@pytest.mark.parametrize("moment", [0.0, 0.1, 0.3, 0.6, 1.0])
def test_a_disk_that_fills_during_a_deploy_leaves_the_old_release_serving(small, user, moment):
    marked = archives.example(
        "hello",
        {
            "hello.py": hello().replace("<h1>", f"<h1>at {moment} "),
            "note.txt": f"{moment}\n" * 1000,
        },
    )
    number = user.deploy(APP, marked)
    time.sleep(moment)
    with Ballast(small.config.state):
        time.sleep(6)
        assert serves(small), "one release or the other"
    build = user.built(APP, number, within=120)
    if build["state"] == "failed":
        assert "disk" in build["reason"].lower(), build["reason"]
        assert f"at {moment}" not in small.ask(APP).text
    else:
        user.settled(APP, int(build["release"]))
    user.deployed(APP, marked)
    until(lambda: f"at {moment}" in small.ask(APP).text, within=20, what="the new release serves")
    until(
        lambda: not list(small.config.workspaces.glob("*")),
        within=60,
        what="no workspace of a build is left",
    )
    verified = run(
        [ROOT / ".venv/bin/python", ROOT / "manage.py", "image", "verify"],
        env=small.environment,
        check=False,
        timeout=120,
    )
    assert verified.returncode == 0, verified.stdout.decode() + verified.stderr.decode()


def instance_of(box: Box) -> int:
    """Return the process id of the app's instance; 0 while there is none."""
    return next((pid for group, pid in box.instance_pids().items() if f"/{APP}-web" in group), 0)


def serves(box: Box) -> bool:
    try:
        return box.ask(APP).status_code == 200
    except httpx.TransportError:
        return False


def hello() -> str:
    return (archives.EXAMPLES / "hello" / "hello.py").read_text()
