"""Load on three apps and frequent deploys, while random processes of the platform are killed.

Afterwards every accepted deploy exists, and the last accepted deploy of each app serves. Nothing
leaked, and the image store verifies.
"""

import itertools
import json
import math
import os
import random
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from runtime.config import NodeConfig
from runtime.engines import locks
from runtime.process import run
from tests.system.support import archives
from tests.system.support.api import OVER, Api
from tests.system.support.chaos_outcome import APPS, Amounts, Deploys, Outcome, split_failures
from tests.system.support.footprint import OF_A_TEAM, footprint
from tests.system.support.pace import Pace
from tests.system.support.stretches import stretches
from tests.system.support.victims import LAUNCH, PARTS, Killed, Victims
from tests.system.support.waiting import until

ROOT = Path(__file__).parents[3]
INSTANCES = 2  # of each app: one may lose its monitor while the other serves
RATE = 10  # requests per second to each app, over kept and new connections each
MISSING = 60.0  # seconds until a part without a process to kill is a fault
SETTLE_WITHIN = 240  # seconds for queues to empty after the last kill
QUIET_WITHIN = 60  # seconds for instances of deleted apps to be removed


@dataclass(slots=True, kw_only=True)
class Chaos:
    """A chaos run: `prepare`, `run`, `clean`. In every case, `clean` removes the apps."""

    config: NodeConfig
    api: Api
    team: str
    environment: Mapping[str, str]  # of the platform's own commands
    chance: random.Random
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _before: Counter[str] = field(default_factory=Counter)

    def prepare(self) -> None:
        self.clean()
        self._before = self._shape()
        for app in APPS:
            until(
                lambda app=app: self._created(app),
                within=QUIET_WITHIN,
                what=f"{app} can be created again",
                every=0.5,
            )
            self.api.change_traffic(app, sleep_minutes=0)
        for app in APPS:
            self.api.deployed(app, source("v0"))
            self.api.scale(app, INSTANCES)
        for app in APPS:
            until(
                lambda app=app: self._live(app) == INSTANCES,
                within=60,
                what=f"{INSTANCES} instances of {app} are live",
            )

    def run(self, amounts: Amounts, tell: Callable[[str], None] = lambda _: None) -> Outcome:
        deploys, kills, over = Deploys(), [], threading.Event()
        victims = Victims(config=self.config, apps=APPS, chance=self.chance, ended=over.is_set)
        deployer = threading.Thread(
            target=self._deploy_until, args=(over, deploys, amounts.deploy_every)
        )
        most = math.ceil(amounts.kills / len(PARTS))
        hunter = threading.Thread(
            target=self._hunt, args=(most, amounts.seconds, victims, kills, over)
        )
        ends = time.monotonic() + amounts.seconds
        hosts = [f"{app}.{self.config.base_domain}" for app in APPS]
        with Pace(self.config.http_port, hosts, rate=RATE, connections=1, fresh=True) as pace:
            deployer.start()
            hunter.start()
            try:
                faults = self._kill_all(amounts.kills, ends, victims, kills, tell)
                over.wait(max(0, ends - time.monotonic()))
            finally:
                over.set()
                deployer.join()
                hunter.join()
            faults += [
                f"no {part} was killed"
                for part in PARTS
                if part not in {killed.part for killed in kills}
            ]
            faults += self._settle(deploys)
        _, failed = split_failures(pace.answers, kills)
        faults += [stretch.describe(kills) for stretch in stretches(failed)]
        faults += self._verify()
        self.clean()
        faults += self._leaks()
        return Outcome(kills=kills, deploys=deploys, answers=pace.answers, faults=faults)

    def _kill_all(
        self,
        number: int,
        ends: float,
        victims: Victims,
        kills: list[Killed],
        tell: Callable[[str], None],
    ) -> list[str]:
        """Kill each part once, then random parts, spread over the time.

        Return the faults if that was not possible.
        """
        pending, absent = [part for part in PARTS if part != LAUNCH], dict[str, float]()
        others = list(pending)
        while len(kills) < number:
            part = pending.pop(0) if pending else self.chance.choice(others)
            if (killed := victims.kill(part)) is None:
                pending.append(part)
                since = absent.setdefault(part, time.monotonic())
                if time.monotonic() - since > MISSING:
                    return [
                        f"there was no {part} to kill for {MISSING:g} s, after {len(kills)} kills"
                    ]
                time.sleep(0.2)
                continue
            absent.pop(part, None)
            kills.append(killed)
            tell(f"{len(kills)} of {number}: killed {killed.pid}, {part}")
            pause = max(0.0, ends - time.monotonic()) / max(1, number - len(kills))
            time.sleep(self.chance.uniform(0.2, 1.8) * max(pause, 0.3))
        return []

    def _hunt(
        self,
        most: int,
        seconds: float,
        victims: Victims,
        kills: list[Killed],
        over: threading.Event,
    ) -> None:
        """Kill a crun in the middle of a launch from time to time.

        It lives for some ten milliseconds, so this thread has a high priority.
        """
        os.setpriority(os.PRIO_PROCESS, 0, -10)  # of the thread
        for _ in range(most):
            while (killed := victims.kill(LAUNCH)) is None:
                if over.is_set():
                    return
            kills.append(killed)
            over.wait(self.chance.uniform(0.2, 1.8) * seconds / most)

    def clean(self) -> None:
        for app in APPS:
            until(lambda app=app: self._deleted(app), within=QUIET_WITHIN, what=f"{app} is deleted")

    def _deploy_until(self, over: threading.Event, deploys: Deploys, every: float) -> None:
        for app in itertools.cycle(APPS):
            version = f"v{next(self._numbers)}"
            self._deploy(app, version, deploys)
            if over.wait(self.chance.uniform(0.5, 1.5) * every):
                return

    def _deploy(self, app: str, version: str, deploys: Deploys) -> None:
        try:
            answer = self.api.upload(app, source(version))
        except httpx.ConnectError:
            deploys.refused["no connection"] += 1
        except httpx.TransportError:
            deploys.unknown[app].append(version)
        else:
            if answer.is_success:
                deploys.accepted[app].append((int(answer.json()["id"]), version))
            elif answer.status_code >= 500:  # the portal or Redis was killed or is not up again
                deploys.unknown[app].append(version)
            else:
                deploys.refused[f"{answer.status_code} {answer.text[:200]}"] += 1

    def _settle(self, deploys: Deploys) -> list[str]:
        """Wait until all builds are over and the last versions serve. Return what did not happen.

        A build that waits in the queue is cancelled when a later build of its app is queued. It is
        not lost.
        """
        faults = []
        deadline = time.monotonic() + SETTLE_WITHIN
        for app in APPS:
            for build, version in deploys.accepted[app]:
                found = self._build_over(app, build, deadline)
                if found.get("state") != "succeeded" and "replaced it" not in str(
                    found.get("reason")
                ):
                    faults.append(
                        f"accepted deploy {version} of {app} (build {build}) is"
                        f" {found.get('state')}: {found.get('reason')}"
                    )
        for app in APPS:
            if not deploys.accepted[app]:
                faults.append(f"no deploy of {app} was accepted")
                continue
            wanted = deploys.may_serve(app)
            while (served := self._served(app)) not in wanted and time.monotonic() < deadline:
                time.sleep(0.2)
            if served not in wanted:
                rollout = self.api.get(f"/apps/{app}/rollouts")[0]
                faults.append(
                    f"{app} serves {served} instead of {' or '.join(sorted(wanted))}; its last"
                    f" rollout: {json.dumps(rollout)}"
                )
            while (live := self._live(app)) != INSTANCES and time.monotonic() < deadline:
                time.sleep(0.2)
            if live != INSTANCES:
                faults.append(f"{app} has {live} live instances instead of {INSTANCES}")
        return faults

    def _build_over(self, app: str, build: int, deadline: float) -> dict[str, object]:
        found: dict[str, object] = {"state": "lost", "reason": "the portal does not know it"}
        while time.monotonic() < deadline:
            try:
                answer = self.api.api.get(f"/apps/{app}/builds/{build}")
            except httpx.TransportError:
                time.sleep(0.5)
                continue
            if answer.status_code == 404:
                return found
            if answer.is_success and (found := answer.json())["state"] in OVER:
                return found
            time.sleep(0.2)
        return found

    def _served(self, app: str) -> str:
        try:
            answer = httpx.get(
                f"http://127.0.0.1:{self.config.http_port}/",
                headers={"Host": f"{app}.{self.config.base_domain}"},
                timeout=20,
            )
        except httpx.TransportError:
            return "no answer"
        return answer.text.strip() if answer.status_code == 200 else str(answer.status_code)

    def _verify(self) -> list[str]:
        done = run(
            [sys.executable, "manage.py", "image", "verify"],
            cwd=ROOT,
            env=dict(self.environment),
            timeout=300,
            check=False,
        )
        output = (done.stdout + done.stderr).decode(errors="replace").strip()
        return [] if done.returncode == 0 else [f"the store does not verify: {output[-1500:]}"]

    def _leaks(self) -> list[str]:
        deadline = time.monotonic() + QUIET_WITHIN
        while (now := self._shape()) != self._before and time.monotonic() < deadline:
            time.sleep(0.5)
        return [
            *(f"left: {thing} ({count})" for thing, count in (now - self._before).items()),
            # A helper's group may have been new at the start, and without a process yet. A lock may
            # have been held at that moment.
            *(
                f"gone: {thing} ({count})"
                for thing, count in (self._before - now).items()
                if "/helper-" not in thing and not thing.startswith("lock ")
            ),
        ]

    def _shape(self) -> Counter[str]:
        """Count this platform's kernel objects, processes and unfinished work.

        Processes have no numbers here.
        """
        marks = (self.config.name, str(self.config.state), str(self.config.run))
        found = [
            thing for thing in footprint(self.config.name) if any(mark in thing for mark in marks)
        ]
        kept = [thing for thing in found if not OF_A_TEAM.search(thing)]
        things = Counter(re.sub(r"^process \d+", "process", thing) for thing in kept)
        folders = [self.config.run / "crun", self.config.instances, self.config.workspaces]
        folders += [self.config.images / "ingest", self.config.layers / "ingest"]
        things.update(
            f"entry {path}" for folder in folders if folder.is_dir() for path in folder.iterdir()
        )
        locks.remove_free_locks(
            self.config
        )  # as the platform does from time to time: held locks stay
        things.update(
            f"lock {path}"
            for path in self.config.locks.iterdir()
            if locks.PASSING.fullmatch(path.name)
        )
        return things

    def _instances(self) -> list[str]:
        return [
            path.name
            for path in self.config.instances.iterdir()
            if any(path.name.startswith(f"{app}-") for app in APPS)
        ]

    def _live(self, app: str) -> int:
        try:
            return sum(instance["state"] == "live" for instance in self.api.instances(app))
        except (httpx.TransportError, AssertionError):
            return -1  # the portal is not up again

    def _created(self, app: str) -> bool:
        return self.api.api.post("/apps", json={"team": self.team, "name": app}).is_success

    def _deleted(self, app: str) -> bool:
        try:
            self.api.delete_app(app)
        except (httpx.TransportError, AssertionError):
            return False
        return not any(name.startswith(f"{app}-") for name in self._instances())


def source(version: str) -> bytes:
    """Return examples/hello, changed to answer with only this version."""
    return archives.python(PROGRAM.format(version=version))


PROGRAM = """
import os, signal, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len("{version}")))
        self.end_headers()
        self.wfile.write(b"{version}")

    def log_message(self, *words):
        pass


server = ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Answer)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
"""
