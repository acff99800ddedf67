"""Run of one target inside the throw-away root.

The command is `python -m tests.fuzz.worker TARGET seconds=N RESULTS`, `… examples=N` or `… FILE`.
With seconds, atheris mutates the bytes and measures the coverage of the code. With examples,
Hypothesis draws that many. A file is an input that atheris kept; it is run once more.
"""

from __future__ import annotations

import importlib
import os
import random
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings

INSTRUMENTED = (
    "runtime.builds",
    "runtime.images",
    "runtime.trees",
    "portal.registry",
    "portal.domains",
    "portal.gitserver",
    "tarfile",
    "zipfile",
)
# Imported late, by targets: they need Django's settings.
IMPORTED_LATE = ("portal.registry.manifests", "portal.domains.hosts", "portal.gitserver.receive")
SEED_LENGTHS = (
    16,
    64,
    256,
    1024,
    4096,
)  # bytes: Hypothesis discards an input that is too short for an example
TELL_EVERY = 20  # examples
MEMORY = 1024  # MiB: a process that uses more counts as a crash
FEW = {"git-tree": 10}  # examples of slow targets: this one makes a repository for each example
LONGEST = 20  # seconds for one example


def main(words: list[str]) -> None:
    warnings.simplefilter("ignore")  # zipfile warns about duplicate names
    name, how, *folder = words
    if name == "planted-escape":
        escape(how)
        return
    kind, _, number = how.partition("=")
    if kind == "seconds":
        import atheris  # installed by `make fuzz` only: tests/fuzz/requirements.txt

        with atheris.instrument_imports(include=list(INSTRUMENTED), enable_loader_override=False):
            target, check, once = prepare(name)
        fuzz(name, target, check, once, int(number), Path(folder[0]))
    if kind == "examples":
        draw(name, int(number))
    else:
        prepare(name)[2](Path(how).read_bytes())


def draw(name: str, number: int) -> None:
    """Run this many examples of one target, or of all, and print the name of each finished
    target.
    """
    from tests.fuzz.targets import TARGETS

    phases = (Phase.generate, Phase.shrink)
    for target_name in TARGETS if name == "all" else [name]:
        _, check, _ = prepare(target_name)
        most = min(number, FEW.get(target_name, number))
        settings(
            max_examples=most,
            database=None,
            deadline=None,
            derandomize=True,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        )(check)()
        print(f"{target_name} is done", flush=True)


def prepare(name: str):
    """Return the target, its Hypothesis test, and a function that runs one input of atheris."""
    import django

    # A state folder of this process's own, in the root's /tmp.
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    from tests.fuzz.sandbox import Sandbox
    from tests.fuzz.targets import TARGETS

    for module in IMPORTED_LATE:  # import them now, so that atheris instruments them
        importlib.import_module(module)
    target = TARGETS[name]
    sandbox = Sandbox(Path(tempfile.mkdtemp()))

    counted = Counter(examples=0, refused=0)

    def run(example) -> None:
        sandbox.reset()
        counted["examples"] += 1
        # libFuzzer ends the process before we could print a summary
        if counted["examples"] % TELL_EVERY == 0:
            print(f"{counted['examples']} examples, {counted['refused']} refused", flush=True)
        try:
            target.run(example, sandbox)
        except target.refusals:
            counted["refused"] += 1  # a refusal is the correct result for most examples
        sandbox.check()

    @given(target.examples)
    def check(example) -> None:
        run(example)

    once = run if target.seeds is not None else check.hypothesis.fuzz_one_input
    return target, check, once


def escape(where: str) -> None:
    """Change a file that no target may change, so that a test can check the detection."""
    from tests.fuzz.sandbox import Sandbox

    sandbox = Sandbox(Path(tempfile.mkdtemp()))
    if where == "/etc/passwd":
        os.chown(where, 4242, 4242)
    else:
        (sandbox.folder / where.replace("beside", "beside/planted")).write_text("planted")
    sandbox.check()


def fuzz(name: str, target, check, once, seconds: int, results: Path) -> None:
    """Fuzz the target. Does not return: libFuzzer ends the process."""
    import atheris

    settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))(check)
    corpus = results / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    seeds = (
        target.seeds()
        if target.seeds is not None
        else [random.Random(length).randbytes(length) for length in SEED_LENGTHS]
    )
    for number, seed in enumerate(seeds):
        (corpus / f"seed{number}").write_bytes(seed)
    options = [
        f"-max_total_time={seconds}",
        f"-artifact_prefix={results}/{name}-",
        f"-rss_limit_mb={MEMORY}",
        f"-timeout={LONGEST}",
    ]
    atheris.Setup(
        ["fuzz", str(corpus), *options, "-max_len=16384", "-len_control=0", "-print_final_stats=1"],
        once,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
