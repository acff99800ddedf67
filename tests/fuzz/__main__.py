"""Command `make fuzz MINUTES=n`: run each target for an equal share of the time and print a table.

The exit code is 1 if an input crashed a target.
`make fuzz TARGET=layer` runs one target. `make fuzz TARGET=layer INPUT=var/fuzz/layer-crash-…` runs
one input again.
"""

from __future__ import annotations

import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from runtime.process import run
from tests.fuzz.root import PACKAGES, RESULTS, ROOT, Ended, in_root
from tests.fuzz.targets import TARGETS
from tests.options import read_options

LOCK = ROOT / "tests" / "fuzz" / "requirements.txt"
START = 60  # seconds that a worker may need to start and to end


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    name: str
    executions: int  # inputs; Hypothesis cannot make an example of some
    examples: str  # the number of examples, and how many of them were refused
    coverage: str  # edges and features that libFuzzer counts
    corpus: str
    crashes: tuple[str, ...]  # files, or the output of the worker

    def __str__(self) -> str:
        return (
            f"| {self.name} | {self.executions:,} | {self.examples} | {self.coverage} |"
            f" {self.corpus} | {', '.join(self.crashes) or 'none'} |"
        )


def main(words: list[str]) -> int:
    try:
        said = read_options(words, {"minutes": "1", "target": "", "input": ""})
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if said["input"]:
        ended = in_root(said["target"], str(Path(said["input"]).resolve()), seconds=START)
        print(ended.said or "The input was refused, or handled.")
        return ended.code
    install()
    names = [said["target"]] if said["target"] else list(TARGETS)
    share = max(5, round(float(said["minutes"]) * 60 / len(names)))
    rows = []
    print(
        "| target | executions | examples | edges, features | corpus | crashes"
        " |\n|---|---|---|---|---|---|",
        flush=True,
    )
    for name in names:
        rows.append(fuzzed(name, share))
        print(rows[-1], flush=True)
    return 1 if any(row.crashes for row in rows) else 0


def install() -> None:
    """Install atheris next to the results: only this command needs it."""
    if not (PACKAGES / "atheris").exists():
        uv = Path(sys.executable).with_name("uv")
        run(
            [
                uv,
                "pip",
                "install",
                "--quiet",
                "--require-hashes",
                "--no-deps",
                "--target",
                PACKAGES,
                "-r",
                LOCK,
            ],
            timeout=300,
        )


def fuzzed(name: str, seconds: int) -> Row:
    begun = time.time()
    ended = in_root(name, f"seconds={seconds}", str(RESULTS), seconds=seconds + 2 * START)
    found = [
        str(path.relative_to(ROOT))
        for path in sorted(RESULTS.glob(f"{name}-*"))
        if path.stat().st_mtime >= begun - 1
    ]
    if ended.code != 0 and not found:
        found = [f"the worker ended with {ended.code}: {ended.said[-500:]}"]
    if found:
        print(ended.said[-3000:], file=sys.stderr)
    return row_of(name, ended, tuple(found))


def row_of(name: str, ended: Ended, crashes: tuple[str, ...]) -> Row:
    """Parse the output of libFuzzer.

    It contains `#4711 DONE cov: 96 ft: 201 corp: 38/1kb …` and `stat::number_of_executed_units:
    4711`.
    """
    executions = re.search(r"number_of_executed_units:\s*(\d+)", ended.said)
    examples = re.findall(r"^(\d+ examples, \d+ refused)$", ended.said, re.MULTILINE)
    progress = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)/(\S+)", ended.said)
    edges, features, count, size = progress[-1] if progress else ("?", "?", "?", "?")
    return Row(
        name=name,
        executions=int(executions[1]) if executions else 0,
        examples=examples[-1] if examples else "?",
        coverage=f"{edges}, {features}",
        corpus=f"{count} inputs, {size}",
        crashes=crashes,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
