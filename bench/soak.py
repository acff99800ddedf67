"""`make soak`: many rollouts, scalings, router restarts and sleep periods under load.

Run it as root while `make up` runs. It prints what it did and the number of failed requests. If a
request failed, it ends with status 1. `make soak SOAK="rollouts=20 sleeps=10"` is shorter.
"""

import sys
from dataclasses import dataclass, fields

from bench import running
from runtime.config import NodeConfig

TEAM = "slipway-soak"
GENEROUS = {"apps": 100, "instances": 300, "cpu": 100_000, "memory": 2**36, "disk": 2**38}


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """The number of each action."""

    rollouts: int = 200
    scalings: int = 50
    restarts: int = 20  # of the router
    sleeps: int = 200


def main(words: list[str]) -> int:
    try:
        amounts = amounts_of(words)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if (found := running.found()) is None:
        return 1
    with running.token(TEAM, GENEROUS, label="make soak") as token:
        return 1 if _soak(found[0], token, amounts) else 0


def amounts_of(words: list[str]) -> Amounts:
    """Return the amounts of `rollouts=20 sleeps=10`. A ValueError names the known words."""
    known = [field.name for field in fields(Amounts)]
    numbers = {}
    for word in words:
        name, _, number = word.partition("=")
        if name not in known or not number.isdecimal():
            raise ValueError(f"{word}: use {', '.join(f'{name}=N' for name in known)}.")
        numbers[name] = int(number)
    return Amounts(**numbers)


def _soak(config: NodeConfig, token: str, amounts: Amounts) -> int:
    """Return the number of failed requests and other failures."""
    from tests.system.support.api import Api
    from tests.system.support.sleepers import Sleepers
    from tests.system.support.unrest import Unrest

    api = Api(f"http://127.0.0.1:{config.http_port}", token)
    unrest = Unrest(config=config, api=api, team=TEAM)
    sleepers = Sleepers(config=config, api=api, team=TEAM, cycles=amounts.sleeps, stopped=4)
    try:
        unrest.prepare()
        sleepers.prepare()
        with sleepers.cycling():
            outcome = unrest.under_load(
                rollouts=amounts.rollouts,
                scalings=amounts.scalings,
                restarts=amounts.restarts,
                tell=_print_progress,
            )
        lines = [*outcome.lines(), *sleepers.lines()]
    finally:
        unrest.clean()
        sleepers.clean()
    for what, found in lines:
        print(f"{what:18} {found}", flush=True)
    failed = outcome.failed + sleepers.failed
    print(f"{'failed':18} {failed}", flush=True)
    return failed


def _print_progress(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
