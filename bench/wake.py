"""How long the first request of a frozen app takes, beyond a request of the same app awake: real apps that fell asleep by themselves."""

import statistics

from runtime.config import NodeConfig
from tests.system.api import Api
from tests.system.sleepers import Sleepers

SLEEPS = 40


def report(config: NodeConfig, api: Api, team: str) -> str:
    sleepers = Sleepers(config=config, api=api, team=team, cycles=SLEEPS, crowd=1)
    try:
        sleepers.prepare()
        with sleepers.cycling():
            pass  # nothing happens beside it
    finally:
        sleepers.clean()
    warm = statistics.median(sleepers.warm_answers)
    over = sorted((first - warm) * 1000 for first in sleepers.first_answers)
    late = over[min(len(over) - 1, int(len(over) * 0.99))]
    return f"{statistics.median(over):.1f} ms median, {late:.1f} ms p99 of {len(over)} over {warm * 1000:.1f} ms awake; {sleepers.failed} failed"
