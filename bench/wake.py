"""How long the first request of a frozen app takes, beyond a request of the same app awake: real apps that fell asleep by themselves."""

import statistics
import time

from runtime.config import NodeConfig
from runtime.router.control import Router
from tests.system.api import Api
from tests.system.sleepers import PATIENCE, Sleepers, asleep

SLEEPS, WARM = 40, 5
_CALM = 1.0  # seconds for what follows from a wake to be over, before the next request is timed


def report(config: NodeConfig, api: Api, team: str) -> str:
    sleepers = Sleepers(config=config, api=api, team=team, cycles=SLEEPS)
    over, awake, troubles = [], [], []
    try:
        sleepers.prepare()
        _until_all_sleep(Router(config), sleepers.apps)
        for app in sleepers.apps:
            first, trouble = sleepers.ask(app)
            time.sleep(_CALM)
            warm = [sleepers.ask(app) for _ in range(WARM)]
            awake.append(statistics.median(took for took, _ in warm) * 1000)
            over.append(first * 1000 - awake[-1])
            troubles += [one for one in (trouble, *(said for _, said in warm)) if one]
    finally:
        sleepers.clean()
    late = sorted(over)[min(len(over) - 1, int(len(over) * 0.99))]
    found = f"{statistics.median(over):.1f} ms median, {late:.1f} ms p99 of {len(over)}"
    return f"{found}, beyond {statistics.median(awake):.1f} ms awake; {len(troubles)} failed"


def _until_all_sleep(router: Router, apps: list[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not all(asleep(router, app) for app in apps):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{[app for app in apps if not asleep(router, app)]} did not fall asleep within {PATIENCE:.0f} s")
        time.sleep(0.3)
