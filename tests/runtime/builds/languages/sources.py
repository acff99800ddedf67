"""Sources in Go, PHP and Java, and the build plans that they get."""

from __future__ import annotations

import json

from runtime.builds.languages.detect import Source, wants_text
from runtime.builds.plan import BuildPlan, plan

GO_MOD = "module example.org/shop/v2\n\ngo 1.22.3\n"
MAIN = "// Shop.\npackage main\n\nfunc main() {}\n"
RUNS = "Manifest-Version: 1.0\nMain-Class: shop.Shop\nBuild-Jdk-Spec: 17\n"


def of(files: dict[str, str]) -> BuildPlan:
    return plan(
        Source(
            files=frozenset(files),
            texts={name: text for name, text in files.items() if wants_text(name)},
        ),
        list,
    )


def composer(**requires: str) -> str:
    return json.dumps(
        {"require": {name.replace("__", "-"): wish for name, wish in requires.items()}}
    )
