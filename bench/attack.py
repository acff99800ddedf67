"""`make attack`: every attack of tests/system/attacks beside a victim under load, and a table in Markdown. Beside `make up`, or on its own.

It makes two teams and three apps, and removes the apps. ONLY=word runs the attacks whose name or kind has that word.
"""

import signal
import sys

from bench import running
from bench.chaos import owned_platform
from tests.system.api import Api
from tests.system.attacks.attack import HEAD, execute
from tests.system.attacks.range import ATTACKERS, VICTIMS, Range
from tests.system.attacks.suite import ATTACKS
from tests.system.pace import percentile

LIMITS = {"apps": 10, "instances": 50, "cpu": 100_000, "memory": 2**35, "disk": 2**37}


def main(words: list[str]) -> int:
    only = next((word.removeprefix("only=") for word in words if word.startswith("only=")), "")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if (found := running.found(or_say=False)) is None:
        with owned_platform((ATTACKERS, VICTIMS)) as (config, api, _):
            return run(Range(config=config, api=api), only)
    with running.token(ATTACKERS, LIMITS, label=ATTACKERS) as token, running.token(VICTIMS, LIMITS, label=VICTIMS):
        return run(Range(config=found[0], api=Api(f"http://127.0.0.1:{found[0].http_port}", token)), only)


def run(place: Range, only: str) -> int:
    """How many attacks did not fail as they must."""
    wrong = 0
    try:
        place.prepare()
        print(HEAD, flush=True)
        for attack in ATTACKS:
            if only and only not in attack.name and only not in attack.kind:
                continue
            result = execute(attack, place, percentile(place.alone(), 99))
            print(result, flush=True)
            wrong += bool(result.wrong)
            for line in result.wrong:
                print(f"WRONG: {attack.name}: {line}", file=sys.stderr, flush=True)
    finally:
        place.clean()
    print(f"{wrong} attacks did not end as they must.", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
