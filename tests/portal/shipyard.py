"""Fake workers: they take queued builds and produce the results that a test wants, as rows and log
files."""

from __future__ import annotations

import threading
from typing import Self

from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.utils import timezone

from portal.accounts.models import Person
from portal.apps.models import App
from portal.builds import logs
from portal.builds.models import Build, BuildState, Origin, Source
from portal.builds.sources import store_upload
from portal.deploys import actions as builds
from portal.deploys import going_live
from portal.releases import actions as releases
from portal.releases.models import Rollout, RolloutState

PROCESSES = {"web": "python app.py"}


class FakeWorkers:
    """Set `fails_with` or `never_live` before the push, and check `built` after it."""

    def __init__(self) -> None:
        self.fails_with = ""
        self.never_live = ""
        self.waits_for = threading.Event()  # builds wait for this event before they end
        self.waits_for.set()
        self.built: list[int] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.waits_for.set()
        self._over.set()
        self._thread.join(10)

    def _work(self) -> None:
        try:
            while not self._over.wait(0.05):
                for build in Build.objects.filter(state=BuildState.QUEUED).select_related(
                    "app__team"
                ):
                    self._build(build)
        finally:
            connection.close()

    def _build(self, build: Build) -> None:
        if not builds.mark_building(build):
            return
        say(build, "-> Found a Procfile")
        self.waits_for.wait(20)
        if self.fails_with:
            say(build, f"error: {self.fails_with}")
            builds.fail(build, self.fails_with)
            return
        say(build, "-> Done")
        self.built.append(build.pk)
        if rollout := builds.succeed(build, "sha256:" + "0" * 64, PROCESSES):
            roll_out(rollout, never_live=self.never_live)


def roll_out(rollout: Rollout, *, never_live: str = "") -> None:
    """Roll out to the end."""
    releases.advance(rollout, RolloutState.LAUNCHING)
    releases.add_step(rollout, "start web.1")
    if never_live:
        releases.finish_failed(rollout, never_live)
    else:
        going_live.finish_live(rollout)


def deploy(
    build: Build, *, image: str = "sha256:" + "0" * 64, processes: dict[str, str] | None = None
) -> Rollout | None:
    """Take a queued build to its end, without a thread."""
    assert builds.mark_building(build)
    rollout = builds.succeed(build, image, processes or PROCESSES)
    if rollout is not None:
        roll_out(rollout)
    return rollout


def upload(content: bytes = b"an archive", name: str = "hello.zip") -> Source:
    """Store an uploaded source."""
    return store_upload(SimpleUploadedFile(name, content), filename=name)


def submit_archive(actor: Person, app: App, content: bytes = b"an archive") -> Build:
    """Submit a build."""
    return builds.submit(actor, app=app, source=upload(content), origin=Origin.UPLOAD)


def say(build: Build, text: str) -> None:
    """Write a line to a build's log."""
    path = logs.path_of(build)
    path.parent.mkdir(parents=True, exist_ok=True)
    now = timezone.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
    with path.open("a") as file:
        file.write(f"{now} build stdout {text}\n")
