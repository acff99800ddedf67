"""`make attack`: runs every attack of tests/system/attacks next to a victim app under load.

It prints a table in Markdown. It uses a running `make up`, or starts a platform itself. It creates
two teams and three apps, and removes the apps. ONLY=word,word runs only attacks whose kind or name
contains one of the words. TABLE=docs/security.md writes the results into the table there.
"""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from bench import running
from bench.chaos import owned_platform
from tests.options import read_options
from tests.system.attacks.attack import HEAD, Attack, Result, execute
from tests.system.attacks.range import ATTACKERS, VICTIMS, Range
from tests.system.attacks.report import with_results
from tests.system.attacks.suite import ATTACKS
from tests.system.support.api import Api
from tests.system.support.pace import percentile

LIMITS = {"apps": 10, "instances": 50, "cpu": 100_000, "memory": 2**35, "disk": 2**37}


def main(words: list[str]) -> int:
    try:
        options = read_options(words, {"only": "", "table": ""})
        chosen = chosen_attacks(options["only"])
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if options["table"] and not Path(options["table"]).is_file():
        print(
            f"There is no file {options['table']}. TABLE is a page with a table of attacks, such as"
            " docs/security.md; its rows are replaced.",
            file=sys.stderr,
        )
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    results: list[Result] = []
    try:
        with target() as place:
            run(place, chosen, results)
    finally:
        if options["table"] and results:
            write(Path(options["table"]), results)
    wrong = sum(bool(result.wrong) for result in results)
    print(
        f"{len(results)} of {len(chosen)} attacks ran; {wrong} had a wrong result.", file=sys.stderr
    )
    return 1 if wrong or len(results) < len(chosen) else 0


def chosen_attacks(only: str) -> Sequence[Attack]:
    """Return the attacks whose title contains one of these words, which are separated by commas.
    Raise ValueError for a word that no title contains."""
    words = [word.strip() for word in only.split(",")]
    for word in words:
        if not any(word in attack.title for attack in ATTACKS):
            raise ValueError(f"No attack has {word!r} in its title. docs/security.md lists them.")
    return [attack for attack in ATTACKS if any(word in attack.title for word in words)]


@contextmanager
def target() -> Iterator[Range]:
    """Yield the running platform, or a new one."""
    if (found := running.found(or_say=False)) is None:
        with owned_platform((ATTACKERS, VICTIMS)) as (config, api, _):
            yield Range(config=config, api=api)
        return
    with (
        running.token(ATTACKERS, LIMITS, label=ATTACKERS) as token,
        running.token(VICTIMS, LIMITS, label=VICTIMS),
    ):
        yield Range(config=found[0], api=Api(f"http://127.0.0.1:{found[0].http_port}", token))


def run(place: Range, chosen: Sequence[Attack], results: list[Result]) -> None:
    """Run each attack, print its row, and add its result to `results` at once."""
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
    path.write_text(
        with_results(path.read_text(), results, day, order=[attack.title for attack in ATTACKS])
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
