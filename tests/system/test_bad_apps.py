"""Tests of apps that cannot be built or do not start.

The portal shows the reason, the previous release serves, and nothing is left.
"""

from dataclasses import dataclass

import pytest

from tests.system.conftest import TEAM
from tests.system.support import archives
from tests.system.support.waiting import until

BUILT_WITHIN = 300  # seconds, at the same time as all the others
SIDE_BY_SIDE = 3  # rollouts of one team
GOOD = archives.example("hello")
SERVE = """
import os, time
from http.server import BaseHTTPRequestHandler, HTTPServer
class Fine(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(204)
        self.end_headers()
HTTPServer(({address!r}, {port}), Fine).serve_forever()
"""
FORKS = """
import os, time
while True:
    try:
        os.fork()
    except OSError as error:
        print("process limit reached:", error.strerror, flush=True)
        time.sleep(1)
"""
SOON = "[health]\nstart_period = 5\ninterval = 5\n"  # 20 s to start; the default is a minute


def not_up(program: str) -> bytes:
    return archives.python(program, more={"slipway.toml": SOON})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    archive: bytes
    reason: tuple[str, ...]  # words of the reason, in any case
    log: str = ""  # words of the build's or app's log


BUILDS = {
    "nothing-detected": Bad(
        archive=archives.app({"notes.txt": "no app here"}),
        reason=("Procfile", "requirements.txt", "package.json", "index.html"),
    ),
    "unresolvable": Bad(
        archive=archives.app(
            {
                "app.py": "",
                "Procfile": "web: python3 app.py\n",
                "requirements.txt": "flask==999.0\n",
            }
        ),
        reason=("dependencies",),
        log="flask==999.0",
    ),
    "go-that-does-not-compile": Bad(
        archive=archives.app(
            {
                "go.mod": "module x\n\ngo 1.24\n",
                "x.go": "package main\n\nfunc main() { nothing() }\n",
            }
        ),
        reason=("compile", "go"),
        log="undefined: nothing",
    ),
    "gem-that-is-not-vendored": Bad(
        archive=archives.app(
            {
                "Gemfile": 'source "https://rubygems.org"\ngem "nothing-like-it"\n',
                "config.ru": "",
                "vendor/cache/.keep": "",
            }
        ),
        reason=("gems", "bundler"),
        log="nothing-like-it",
    ),
}
RUNS = {
    "exits-at-once": Bad(
        archive=not_up("import sys\nprint('no setting DATABASE', flush=True)\nsys.exit(3)\n"),
        reason=("code 3", "no setting DATABASE"),
    ),
    "never-listens": Bad(
        archive=not_up("import time\nprint('thinking', flush=True)\ntime.sleep(3600)\n"),
        reason=("listen", "thinking"),
    ),
    "listens-on-localhost": Bad(
        archive=not_up(
            SERVE.format(address="127.0.0.1", port=0).replace(", 0)", ', int(os.environ["PORT"]))')
        ),
        reason=("127.0.0.1", "0.0.0.0"),
    ),
    "listens-elsewhere": Bad(
        archive=not_up(SERVE.format(address="0.0.0.0", port=4321)), reason=("4321", "PORT")
    ),
    "eats-memory": Bad(
        archive=not_up("hoard = []\nwhile True:\n    hoard.append(bytearray(2**20))\n"),
        reason=("memory", "killed"),
    ),
    "forks-without-end": Bad(archive=not_up(FORKS), reason=("listen", "process limit reached")),
    "answers-500": Bad(
        archive=not_up(
            SERVE.format(address="0.0.0.0", port=0)
            .replace(", 0)", ', int(os.environ["PORT"]))')
            .replace("204", "500")
        ),
        reason=("500",),
    ),
}


@pytest.fixture(scope="module")
def deployed(box, admin) -> dict[str, int]:
    """Deploy a good release of each app, then the bad one, all at the same time.

    Some take the whole start period.
    """
    for number, name in enumerate((*BUILDS, *RUNS)):
        if number % SIDE_BY_SIDE == 0:
            team = f"{TEAM}-{number // SIDE_BY_SIDE}"
            admin.create_team(team)
            admin.set_quota(team)
        admin.create_app(team, name)
        admin.deploy(name, GOOD)
    for name in (*BUILDS, *RUNS):
        assert admin.settled(name, 1)["state"] == "live"
    return {name: admin.deploy(name, bad.archive) for name, bad in (BUILDS | RUNS).items()}


@pytest.mark.parametrize("name", BUILDS)
def test_a_build_fails_with_its_reason(deployed, box, admin, name):
    bad, build = BUILDS[name], admin.built(name, deployed[name], within=BUILT_WITHIN)
    assert build["state"] == "failed"
    assert_told(build["reason"], bad)
    assert bad.log in admin.build_log(name, deployed[name])
    assert_unharmed(box, admin, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_rollout_fails_with_its_reason(deployed, box, admin, name):
    bad, build = RUNS[name], admin.built(name, deployed[name])
    assert build["state"] == "succeeded", build["reason"]
    rollout = admin.settled(name, 2, within=120)
    assert rollout["state"] == "failed"
    assert_told(rollout["reason"], bad)
    until(
        lambda: of_app(box, name) == 1, within=20, what="only the good release's instance is left"
    )
    assert_unharmed(box, admin, name)


def assert_told(reason: str, bad: Bad) -> None:
    for word in bad.reason:
        assert word.lower() in reason.lower(), f"{word!r} is not in the reason: {reason}"


def assert_unharmed(box, admin, name: str) -> None:
    """Check that the portal shows that v1 is live, v1 serves, and one instance is left."""
    until(
        lambda: "v1 is live" in admin.pages.get(f"/apps/{name}").text,
        within=20,
        what="the page says that v1 is live",
    )
    assert box.ask(name).status_code == 200
    until(
        lambda: (
            len([instance for instance in admin.instances(name) if instance["state"] != "stopped"])
            == 1
        ),
        within=20,
        what="one instance is shown",
    )


def of_app(box, name: str) -> int:
    return len(
        [folder for folder in box.config.instances.iterdir() if folder.name.startswith(f"{name}-")]
    )
