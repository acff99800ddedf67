"""`make chaos`: load, deploys and kill -9 of the platform's processes, then a check for losses.

Run it as root. It uses a running `make up`, or starts a platform itself. It prints what it did and
every fault, and ends with status 1 if there is a fault. `make chaos SECONDS=60 KILLS=15` is
shorter; SEED repeats a run.
"""

import os
import random
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from bench import running
from runtime.config import NodeConfig
from tests.system.support.api import Api
from tests.system.support.chaos import Chaos
from tests.system.support.chaos_outcome import Amounts

TEAM = "slipway-chaos"
GENEROUS = {"apps": 10, "instances": 100, "cpu": 100_000, "memory": 2**36, "disk": 2**38}


def main(words: list[str]) -> int:
    try:
        amounts, seed = read(words)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    # The same effect as Ctrl-C: a platform that was started here is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with platform() as (config, api, environment):
        chaos = Chaos(
            config=config, api=api, team=TEAM, environment=environment, chance=random.Random(seed)
        )
        try:
            chaos.prepare()
            outcome = chaos.run(amounts, tell=lambda line: print(line, file=sys.stderr, flush=True))
        finally:
            chaos.clean()
        # Print before the platform stops, which takes long on a busy machine.
        for what, found in [*outcome.lines(), ("seed", str(seed))]:
            print(f"{what:12} {found}", flush=True)
    return 1 if outcome.faults else 0


def read(words: list[str]) -> tuple[Amounts, int]:
    """Return the amounts and the seed of `kills=N seconds=N seed=N`.

    A word without a number is ignored.
    """
    numbers = {"kills": 150, "seconds": 600, "seed": time.time_ns() % 2**32}
    for word in words:
        name, _, number = word.partition("=")
        if name not in numbers or (number and not number.isdecimal()):
            raise ValueError(f"{word}: use {', '.join(f'{known}=N' for known in numbers)}.")
        numbers[name] = int(number or numbers[name])
    return Amounts(kills=numbers["kills"], seconds=numbers["seconds"]), numbers["seed"]


@contextmanager
def platform() -> Iterator[tuple[NodeConfig, Api, Mapping[str, str]]]:
    """Yield a platform, an admin's API, and the environment of its commands.

    The platform is the running one, or a new one that stops afterwards.
    """
    if (found := running.found(or_say=False)) is not None:
        with running.token(TEAM, GENEROUS, label=TEAM) as token:
            yield found[0], Api(f"http://127.0.0.1:{found[0].http_port}", token), dict(os.environ)
        return
    with owned_platform((TEAM,)) as made:
        yield made


@contextmanager
def owned_platform(teams: Sequence[str]) -> Iterator[tuple[NodeConfig, Api, Mapping[str, str]]]:
    """Start a platform with these teams, and stop it afterwards."""
    from tests import warm
    from tests.system.support.box import Box
    from tests.system.support.person import Person

    box = Box()
    try:
        warm.seed(box.config)
        box.start()
        person = Person(box.url, *box.admin())
        for team in teams:
            person.create_team(team)
            person.set_quota(team)
        yield box.config, person, box.environment
    finally:
        try:
            box.down()
        finally:
            box.forget()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
