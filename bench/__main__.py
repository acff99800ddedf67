"""`make bench`: measures a running platform as its users meet it, and prints one line a promise. Run as root, beside `make up`."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from runtime.config import NodeConfig, from_environment, process_environment
from workers.setup.running import holder
from workers.setup.tree import ENV, ROOT

TEAM = "slipway-bench"
GENEROUS = {"apps": 10, "instances": 50, "cpu": 50_000, "memory": 2**36}


def main() -> int:
    environment = process_environment(ENV if ENV.exists() else ROOT / ".env.example")
    os.environ.update(environment)
    config = from_environment(environment)
    manager = holder(config)
    if manager is None:
        print("The bench measures a running platform: start it with `make up` in another terminal first.", file=sys.stderr)
        return 1
    with _token() as token:
        _measure(config, manager, token)
    return 0


def _measure(config: NodeConfig, manager: int, token: str) -> None:
    from bench import builds, launch, memory, route
    from bench.redeploy import Redeploys
    from tests.system.api import Api

    redeploys = Redeploys(config=config, api=Api(f"http://127.0.0.1:{config.http_port}", token), team=TEAM)
    redeploys.prepare()
    try:
        _print("platform memory", "< 400 MB", memory.report(manager))
        _print("route change", "<= 10 ms", route.report(config))
        timed, failed = redeploys.report()
        _print("redeploy", "<= 2.5 s", timed)
        _print("failed under wrk", "0", failed)
        for line in launch.report(config, _image_of("hello")):
            _print("launch of hello", "less bare <= 50 ms", line)
        _print("memory afterwards", "< 400 MB", memory.report(manager))
        for what, promise, found in builds.report():
            _print(what, promise, found)
    finally:
        redeploys.clean()


@contextmanager
def _token() -> Iterator[str]:
    """A token of the first admin's and a team of the bench's own, for as long as it takes."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    django.setup()
    from portal.accounts.actions import create_team, create_token, revoke_token
    from portal.accounts.models import Person, Team
    from portal.quotas.actions import set_quota

    admin = Person.objects.filter(is_staff=True).earliest("id")
    team = Team.objects.filter(name=TEAM).first() or create_team(admin, name=TEAM)
    set_quota(admin, team=team, limits=GENEROUS)
    row, text = create_token(admin, label="make bench")
    try:
        yield text
    finally:
        revoke_token(admin, token=row)


def _image_of(app: str) -> str:
    from portal.apps.models import App

    release = App.objects.get(name=app).current_release
    assert release is not None, f"{app} is not deployed: `make up` does that"
    return release.image


def _print(what: str, promise: str, found: str) -> None:
    print(f"{what:18} {'(' + promise + ')':21} {found}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
