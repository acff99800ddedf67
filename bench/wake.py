"""The duration of the first request of a sleeping app.

Real apps fall asleep, and wake one at a time.

For a frozen app, it is the time in addition to a request of the same app when awake. For a stopped
app, it is compared with the app's own start in a created container.
"""

import os
import statistics
import time
from collections.abc import Callable, Iterator

from bench.launch import Hello
from runtime.config import NodeConfig
from runtime.containers.container import Status
from runtime.containers.lifecycle import Containers
from runtime.contract.quantities import Millicores
from runtime.network.links import Network
from runtime.router.router import Router
from tests.system.support.api import Api
from tests.system.support.sleepers import PATIENCE, Sleepers, asleep

SLEEPS, STOPS, WARM = 40, 15, 5
CPU = Millicores(500)  # the default of an instance
_CALM = 1.0  # seconds for the work after a wake to finish, before the next request is measured


def report(config: NodeConfig, api: Api, team: str, image: str) -> Iterator[tuple[str, str, str]]:
    """Yield (what, promise, found) for each. `image` is the digest of a built hello."""
    sleepers = Sleepers(config=config, api=api, team=team, cycles=SLEEPS)
    router, containers = Router(config), Containers(config, Network(config))

    def stopped(app: str) -> bool:
        found = [container for container in containers.list(f"{app}-") if container.spec.app == app]
        return (
            asleep(router, app)
            and bool(found)
            and {container.status for container in found} == {Status.CREATED}
        )

    try:
        sleepers.prepare()
        yield (
            "wake from frozen",
            "p99 < 20 ms more",
            _frozen(sleepers, lambda app: asleep(router, app)),
        )
        for app in sleepers.apps[:STOPS]:
            api.change_traffic(app, stop_minutes=0)
        yield (
            "wake from stopped",
            "<= 1.2x own start",
            _stopped(sleepers, stopped, Hello(config, image)),
        )
    finally:
        sleepers.clean()


def _frozen(sleepers: Sleepers, sleeps: Callable[[str], bool]) -> str:
    over, awake, troubles = [], [], []
    _until_all(sleepers.apps, sleeps)
    os.sync()  # so that no wake waits for pending writes of the forty deploys
    for app in sleepers.apps:
        first, trouble = sleepers.ask(app)
        time.sleep(_CALM)
        warm = [sleepers.ask(app) for _ in range(WARM)]
        awake.append(statistics.median(took for took, _ in warm) * 1000)
        over.append(first * 1000 - awake[-1])
        troubles += [text for text in (trouble, *(problem for _, problem in warm)) if text]
    found = (
        f"{statistics.median(over):.1f} ms median, {sorted(over)[-2]:.1f} and {max(over):.1f} ms"
        f" the slowest of {len(over)}"
    )
    return f"{found}, beyond {statistics.median(awake):.1f} ms awake; {len(troubles)} failed"


def _stopped(sleepers: Sleepers, sleeps: Callable[[str], bool], hello: Hello) -> str:
    apps = sleepers.apps[:STOPS]
    _until_all(apps, sleeps)
    first, own = [], []
    for app in apps:
        took, trouble = sleepers.ask(app)
        assert not trouble, trouble
        first.append(took * 1000)
        time.sleep(_CALM)
        own.append(hello.own_start(CPU))
    ours, bare = statistics.median(first), statistics.median(own)
    return f"{ours:.0f} ms, own start {bare:.0f} ms: {ours / bare:.2f} times that"


def _until_all(apps: list[str], so: Callable[[str], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not all(so(app) for app in apps):
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"{[app for app in apps if not so(app)]} did not fall asleep within"
                f" {PATIENCE:.0f} s"
            )
        time.sleep(0.3)
