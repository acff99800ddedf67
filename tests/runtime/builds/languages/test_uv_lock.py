"""Pure tests of a uv.lock that does not fit its pyproject.toml."""

from __future__ import annotations

import pytest

from runtime.errors import BadSource
from tests.runtime.builds.languages.planning import PROCFILE, of

LOCK = """version = 1
[[package]]
name = "shop"
version = "1"
source = { virtual = "." }
dependencies = [{ name = "django" }, { name = "my-lib" }]
[package.metadata]
requires-dist = [
    { name = "django", specifier = ">=5.2,<6" },
    { name = "my-lib", marker = "python_full_version < '3.14'", specifier = "==1" },
]
[[package]]
name = "django"
version = "5.2.1"
source = { registry = "https://packages.example/simple" }
"""


def files(*dependencies: str, lock: str = LOCK) -> dict[str, str]:
    project = f'[project]\nname = "shop"\nversion = "1"\ndependencies = {list(dependencies)}\n'
    return {"pyproject.toml": project, "uv.lock": lock, **PROCFILE}


def test_a_dependency_that_the_lock_lacks_fails_the_build() -> None:
    with pytest.raises(BadSource, match=r"does not have gunicorn, redis\.") as caught:
        of(files("Django<6,>=5.2", "redis", "gunicorn[gevent]>=23"))
    assert "uv lock" in caught.value.hint


def test_other_versions_than_the_lock_was_made_for_give_a_warning() -> None:
    decided = of(files("django>=5.1", "my_lib==2; python_version<'3.14'"))
    warnings = [note for note in decided.notes if "uv.lock" in note]
    assert len(warnings) == 1
    assert "other versions of django than pyproject.toml requires" in warnings[0]


@pytest.mark.parametrize(
    "lock",
    [
        LOCK,
        LOCK.partition("[package.metadata]")[0],  # as old versions of uv wrote it
        'version = 1\n[[package]]\nname = "other"\nsource = { registry = "x" }\n',
        "version = 1\n",
    ],
)
def test_a_lock_that_fits_or_that_cannot_be_compared_is_used(lock: str) -> None:
    decided = of(files("django<6,>=5.2", "My.Lib==1; python_version<'3.14'", lock=lock))
    assert not [note for note in decided.notes if "uv.lock" in note]
