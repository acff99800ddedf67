"""`make bench`: measures a running platform as its users see it, and prints one line per promise.

Run it as root while `make up` runs.
"""

import sys
from itertools import chain

from bench import running
from runtime.config import NodeConfig

TEAM = "slipway-bench"
GENEROUS = {"apps": 60, "instances": 100, "cpu": 50_000, "memory": 2**36, "disk": 2**38}


def main() -> int:
    if (found := running.found()) is None:
        return 1
    config, manager = found
    with running.token(TEAM, GENEROUS, label="make bench") as token:
        _measure(config, manager, token)
    return 0


def _measure(config: NodeConfig, manager: int, token: str) -> None:
    from bench import builds, cold, launch, memory, neighbour, route, wake
    from bench.redeploy import Redeploys
    from tests.system.support.api import Api

    redeploys = Redeploys(
        config=config, api=Api(f"http://127.0.0.1:{config.http_port}", token), team=TEAM
    )
    redeploys.prepare()
    try:
        _print("platform memory", "< 400 MB", memory.report(manager))
        _print("route change", "<= 10 ms", route.report(config))
        timed, failed = redeploys.report()
        _print("redeploy", "<= 2.5 s", timed)
        _print("failed under wrk", "0", failed)
        for line in launch.report(config, _image_of("hello")):
            _print("launch of hello", "over bare <= 50 ms", line)
        _print("memory afterwards", "< 400 MB", memory.report(manager))
        for what, promise, found in chain(
            wake.report(config, redeploys.api, TEAM, _image_of("hello")),
            builds.report(),
            cold.report(),
            neighbour.report(),
        ):
            _print(what, promise, found)
    finally:
        redeploys.clean()


def _image_of(app: str) -> str:
    from portal.apps.models import App

    release = App.objects.get(name=app).current_release
    assert release is not None, f"{app} is not deployed: `make up` deploys it"
    return release.image


def _print(what: str, promise: str, found: str) -> None:
    print(f"{what:18} {'(' + promise + ')':21} {found}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
