"""Runs one target inside the throw-away root: `python -m tests.fuzz.worker TARGET seconds=N RESULTS`, `… examples=N` or `… FILE`.

With seconds, atheris changes the bytes and sees what the code does with them. With examples, Hypothesis draws that many. A file is
one input that atheris kept, run once more.
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
IMPORTED_LATE = ("portal.registry.manifests", "portal.domains.hosts", "portal.gitserver.receive")  # by targets: only with Django's settings
SEED_LENGTHS = (16, 64, 256, 1024, 4096)  # bytes: Hypothesis discards an input that is too short for an example
TELL_EVERY = 20  # examples
MEMORY = 1024  # MiB: what takes more is a crash
FEW = {"git-tree": 10}  # examples, of targets that are slow: this one makes a repository each time
LONGEST = 20  # seconds for one example


def main(words: list[str]) -> None:
    warnings.simplefilter("ignore")  # zipfile's, of a name twice
    name, how, *folder = words
    if name == "planted-escape":
        escape(how)
        return
    kind, _, number = how.partition("=")
    if kind == "seconds":
        import atheris  # only where it is installed: tests/fuzz/requirements.txt

        with atheris.instrument_imports(include=list(INSTRUMENTED), enable_loader_override=False):
            target, check, once = prepare(name)
        fuzz(name, target, check, once, int(number), Path(folder[0]))
    if kind == "examples":
        draw(name, int(number))
    else:
        prepare(name)[2](Path(how).read_bytes())


def draw(name: str, number: int) -> None:
    """So many examples of one target, or of all; prints each target's name once it is done."""
    from tests.fuzz.targets import TARGETS

    phases = (Phase.generate, Phase.shrink)
    for one in TARGETS if name == "all" else [name]:
        _, check, _ = prepare(one)
        most = min(number, FEW.get(one, number))
        settings(max_examples=most, database=None, deadline=None, derandomize=True, phases=phases, suppress_health_check=list(HealthCheck))(
            check
        )()
        print(f"{one} is done", flush=True)


def prepare(name: str):
    """The target, its Hypothesis test, and a function that runs one input of atheris."""
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"  # a state folder of this process's own, in the root's /tmp
    django.setup()
    from tests.fuzz.sandbox import Sandbox
    from tests.fuzz.targets import TARGETS

    for module in IMPORTED_LATE:  # now, so that they are instrumented
        importlib.import_module(module)
    target = TARGETS[name]
    sandbox = Sandbox(Path(tempfile.mkdtemp()))

    counted = Counter(examples=0, refused=0)

    def run(example) -> None:
        sandbox.reset()
        counted["examples"] += 1
        if counted["examples"] % TELL_EVERY == 0:  # libFuzzer ends the process without a last word of ours
            print(f"{counted['examples']} examples, {counted['refused']} refused", flush=True)
        try:
            target.run(example, sandbox)
        except target.refusals:
            counted["refused"] += 1  # the right answer to most examples
        sandbox.check()

    @given(target.examples)
    def check(example) -> None:
        run(example)

    once = run if target.seeds is not None else check.hypothesis.fuzz_one_input
    return target, check, once


def escape(where: str) -> None:
    """What a target must never do, for the test that this is seen."""
    from tests.fuzz.sandbox import Sandbox

    sandbox = Sandbox(Path(tempfile.mkdtemp()))
    if where == "/etc/passwd":
        os.chown(where, 4242, 4242)
    else:
        (sandbox.folder / where.replace("beside", "beside/planted")).write_text("planted")
    sandbox.check()


def fuzz(name: str, target, check, once, seconds: int, results: Path) -> None:
    """Does not return: libFuzzer ends the process."""
    import atheris

    settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))(check)
    corpus = results / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    seeds = target.seeds() if target.seeds is not None else [random.Random(length).randbytes(length) for length in SEED_LENGTHS]
    for number, seed in enumerate(seeds):
        (corpus / f"seed{number}").write_bytes(seed)
    options = [f"-max_total_time={seconds}", f"-artifact_prefix={results}/{name}-", f"-rss_limit_mb={MEMORY}", f"-timeout={LONGEST}"]
    atheris.Setup(["fuzz", str(corpus), *options, "-max_len=16384", "-len_control=0", "-print_final_stats=1"], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
