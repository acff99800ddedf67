"""`make soak`: rollouts, scalings, router restarts and sleep, again and again under load. Run as root, beside `make up`.

Prints what was done and how many requests failed: it must be none, else it ends with 1. `make soak SOAK="rollouts=20 sleeps=10"` is shorter.
"""

import sys
from dataclasses import dataclass, fields

from bench import running
from runtime.config import NodeConfig

TEAM = "slipway-soak"
GENEROUS = {"apps": 100, "instances": 300, "cpu": 100_000, "memory": 2**36, "disk": 2**38}


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """How often each is done."""

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
    """From `rollouts=20 sleeps=10`; ValueError says what can be said."""
    known = [field.name for field in fields(Amounts)]
    said = {}
    for word in words:
        name, _, number = word.partition("=")
        if name not in known or not number.isdecimal():
            raise ValueError(f"{word}: say how often with {', '.join(f'{one}=N' for one in known)}.")
        said[name] = int(number)
    return Amounts(**said)


def _soak(config: NodeConfig, token: str, amounts: Amounts) -> int:
    """How many requests failed, or other things that must not."""
    from tests.system.api import Api
    from tests.system.sleepers import Sleepers
    from tests.system.unrest import Unrest

    api = Api(f"http://127.0.0.1:{config.http_port}", token)
    unrest = Unrest(config=config, api=api, team=TEAM)
    sleepers = Sleepers(config=config, api=api, team=TEAM, cycles=amounts.sleeps, stopped=4)
    try:
        unrest.prepare()
        sleepers.prepare()
        with sleepers.cycling():
            told = unrest.under_load(rollouts=amounts.rollouts, scalings=amounts.scalings, restarts=amounts.restarts, tell=_tell)
        lines = [*told.lines(), *sleepers.lines()]
    finally:
        unrest.clean()
        sleepers.clean()
    for what, found in lines:
        print(f"{what:18} {found}", flush=True)
    failed = told.failed + sleepers.failed
    print(f"{'failed':18} {failed}", flush=True)
    return failed


def _tell(how_far: str) -> None:
    print(how_far, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
