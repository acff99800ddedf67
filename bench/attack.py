"""`make attack`: every attack of tests/system/attacks beside a victim under load, and a table in Markdown. Beside `make up`, or on its own.

It makes two teams and three apps, and removes the apps. ONLY=word,word runs the attacks whose kind and name have one of the words;
TABLE=docs/security.md writes the results into the table there.
"""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from bench import running
from bench.chaos import owned_platform
from tests.system.api import Api
from tests.system.attacks.attack import HEAD, Attack, Result, execute
from tests.system.attacks.range import ATTACKERS, VICTIMS, Range
from tests.system.attacks.report import with_results
from tests.system.attacks.suite import ATTACKS
from tests.system.pace import percentile

LIMITS = {"apps": 10, "instances": 50, "cpu": 100_000, "memory": 2**35, "disk": 2**37}


def main(words: list[str]) -> int:
    said = {"only": "", "table": ""}
    for word in words:
        name, _, value = word.partition("=")
        said[name] = value
    chosen = [attack for attack in ATTACKS if any(word in attack.title for word in said["only"].split(","))]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    results: list[Result] = []
    try:
        with target() as place:
            run(place, chosen, results)
    finally:
        if said["table"] and results:
            write(Path(said["table"]), results)
    wrong = sum(bool(result.wrong) for result in results)
    print(f"{len(results)} of {len(chosen)} attacks ran; {wrong} did not end as they must.", file=sys.stderr)
    return 1 if wrong or len(results) < len(chosen) else 0


@contextmanager
def target() -> Iterator[Range]:
    """The running platform, or one of its own."""
    if (found := running.found(or_say=False)) is None:
        with owned_platform((ATTACKERS, VICTIMS)) as (config, api, _):
            yield Range(config=config, api=api)
        return
    with running.token(ATTACKERS, LIMITS, label=ATTACKERS) as token, running.token(VICTIMS, LIMITS, label=VICTIMS):
        yield Range(config=found[0], api=Api(f"http://127.0.0.1:{found[0].http_port}", token))


def run(place: Range, chosen: Sequence[Attack], results: list[Result]) -> None:
    """Run each attack, print its row, and add its result to `results`, which has those before an interruption too."""
    try:
        place.prepare()
        print(HEAD, flush=True)
        for attack in chosen:
            results.append(result := execute(attack, place, percentile(place.alone(), 99)))
            print(result, flush=True)
            for line in result.wrong:
                print(f"WRONG: {attack.title}: {line}", file=sys.stderr, flush=True)
    finally:
        place.clean()


def write(path: Path, results: Sequence[Result]) -> None:
    day = datetime.now(UTC).date().isoformat()
    path.write_text(with_results(path.read_text(), results, day, order=[attack.title for attack in ATTACKS]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
