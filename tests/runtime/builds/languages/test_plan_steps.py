"""Pure tests of the steps of build plans: what an install reads, and the keys of steps."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from runtime.builds.source.code import read_source
from runtime.builds.steps import Install, Tool, step_key
from runtime.errors import BadSource
from runtime.images.digest import Digest
from runtime.trees.folder import Folder
from tests.runtime.builds.languages.planning import PROCFILE, of, planned


@pytest.mark.parametrize(
    ("files", "reads", "whole"),
    [
        ({"requirements.txt": "flask"}, {"requirements.txt"}, False),
        (
            {
                "requirements.txt": "-r base.txt\n-c req/pins.txt",
                "base.txt": "",
                "req/pins.txt": "",
            },
            {"requirements.txt", "base.txt", "req/pins.txt"},
            False,
        ),
        ({"requirements.txt": "-e .", "setup.py": ""}, {"requirements.txt"}, True),
        ({"requirements.txt": "./lib/thing"}, {"requirements.txt"}, True),
        ({"requirements.txt": "thing @ file:lib"}, {"requirements.txt"}, True),
        (
            {"requirements.txt": "thing @ https://somewhere/x.whl\n# -e ."},
            {"requirements.txt"},
            False,
        ),
        ({"pyproject.toml": "[project]\ndependencies=['flask']"}, {"pyproject.toml"}, False),
        ({"pyproject.toml": "[project]\ndynamic=['dependencies']"}, {"pyproject.toml"}, True),
        (
            {"pyproject.toml": "", "uv.lock": "", "requirements.txt": "x"},
            {"pyproject.toml", "uv.lock"},
            False,
        ),
        (
            {"pyproject.toml": "", "uv.lock": "[[package]]\nsource={editable='lib'}"},
            {"pyproject.toml", "uv.lock"},
            True,
        ),
        (
            {"package.json": '{"dependencies":{"x":"1"}}', "package-lock.json": "", ".npmrc": ""},
            {"package.json", "package-lock.json", ".npmrc"},
            False,
        ),
        ({"package.json": '{"dependencies":{"x":"file:y"}}'}, {"package.json"}, True),
        (
            {"package.json": '{"dependencies":{"x":"1"},"scripts":{"postinstall":"y"}}'},
            {"package.json"},
            True,
        ),
    ],
)
def test_an_install_reads_exactly_the_files_that_affect_it(
    files: dict[str, str], reads: set[str], whole: bool
) -> None:
    install = of({**files, **PROCFILE}).installs[0]
    assert set(install.files) >= reads
    assert install.whole is whole


def test_an_empty_install_has_no_step() -> None:
    assert planned(**{".python-version": "3.13", **PROCFILE}).installs == ()
    assert planned(**{"package.json": '{"scripts":{"start":"x"}}'}).installs == ()
    assert of({"uv.lock": "", "requirements.txt": "x", **PROCFILE}).installs[0].files == (
        "requirements.txt",
    )


def test_a_project_with_its_own_commands_is_installed_with_its_source() -> None:
    text = "[project]\nname='x'\ndependencies=[]\n[project.scripts]\nserve='x:main'\n[build-system]\nrequires=[]"  # noqa: E501
    first, second = planned(**{"pyproject.toml": text, "uv.lock": "", **PROCFILE}).installs
    assert (first.whole, second.on_code) == (False, True)


def test_a_build_script_gets_dev_packages_and_the_whole_source() -> None:
    first, second = planned(
        **{
            "package.json": (
                '{"scripts":{"build":"vite","start":"x"},"devDependencies":{"vite":"1"}}'
            )
        }
    ).installs
    assert "--include=dev" in first.command
    assert (second.shown, second.on_code, second.keep) == ("npm run build", True, ("app",))
    assert "npm prune --omit=dev" in second.command


def test_generated_folders_are_left_out_of_the_image() -> None:
    assert planned(**{"package.json": "{}", "index.js": "", "node_modules__x.js": ""}).left_out == (
        "node_modules",
    )
    assert of({"requirements.txt": "", "env/pyvenv.cfg": "", **PROCFILE}).left_out == ("env",)


def test_missing_lock_files_cause_a_warning() -> None:
    assert "package-lock.json" in planned(**{"package.json": "{}", **PROCFILE}).notes[0]
    assert (
        "bun.lockb is ignored; npm selects"
        in planned(**{"package.json": "{}", "bun.lockb": "", **PROCFILE}).notes[0]
    )
    assert (
        "without a poetry.lock"
        in planned(
            **{"pyproject.toml": "[tool.poetry.dependencies]\nflask='^3'", **PROCFILE}
        ).notes[0]
    )
    assert (
        "without a Pipfile.lock"
        in planned(**{"Pipfile": "[packages]\nflask='*'", **PROCFILE}).notes[0]
    )
    decided = planned(
        **{"package.json": "{}", "yarn.lock": "", "package-lock.json": "{}", **PROCFILE}
    )
    assert decided.notes == ("Note: package-lock.json is used; yarn.lock is ignored.",)


def test_the_step_key_changes_with_each_input() -> None:
    install = Install(
        name="Dependencies", tool=Tool.UV, files=("a",), whole=False, command="x", keep=("opt",)
    )
    other = Install(
        name="Dependencies", tool=Tool.UV, files=("a",), whole=False, command="y", keep=("opt",)
    )
    first_base, second_base = Digest.of(b"1"), Digest.of(b"2")
    keys = {
        step_key(install, first_base, {"a": b"1"}, {"uv": "1"}),
        step_key(install, second_base, {"a": b"1"}, {"uv": "1"}),
        step_key(install, first_base, {"a": b"2"}, {"uv": "1"}),
        step_key(install, first_base, {"a": b"1"}, {"uv": "2"}),
        step_key(other, first_base, {"a": b"1"}, {"uv": "1"}),
    }
    assert len(keys) == 5
    assert step_key(install, first_base, {"a": b"1"}, {"uv": "1"}) in keys


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (
            {"package.json": json.dumps({"engines": {"node": "1.2.3" + " " * 50_000 + "- 2"}})},
            "engines.node in package.json is too long",
        ),
        ({".nvmrc": "9" * 101, "package.json": "{}"}, ".nvmrc is too long"),
        (
            {
                "pyproject.toml": f"[project]\nrequires-python='{'>=3,' * 50_000}>=3'\n",
                "app.py": "",
            },
            "requires-python .* is too long",
        ),
        ({"app.py": "a:\n" * 300_000}, ""),
        (
            {
                "yarn.lock": "__metadata:\n" * 9 + "  a: b\n" * 300_000 + " " * 300_000,
                "package.json": "{}",
                "index.js": "",
            },
            "",
        ),
        (
            {
                "package.json": json.dumps(
                    {"scripts": {"build": "x", "start": "A=b " * 100_000 + "x"}}
                ),
                "index.html": "",
            },
            "",
        ),
        (
            {
                "pyproject.toml": f"[tool.poetry.dependencies]\npython = '{'>=3,' * 50_000}'\n",
                "app.py": "",
            },
            "python in .* is too long",
        ),
    ],
)
def test_a_text_that_is_slow_to_parse_delays_no_other_build(
    files: dict[str, str], sentence: str
) -> None:
    began = time.process_time()  # other tests may run on the same core
    if sentence:
        with pytest.raises(BadSource, match=sentence):
            of(files)
    else:
        of(files)
    assert time.process_time() - began < 2


def test_a_source_of_texts_is_not_read_into_memory(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text("web: true")
    (tmp_path / "requirements.txt").write_text("flask")
    for number in range(6):
        (tmp_path / f"a{number}.txt").write_bytes(b"x" * (7 << 20))
    with Folder.at(tmp_path) as tree:
        read = read_source(tree)
    assert len(read.files) == 8
    assert {"Procfile", "requirements.txt"} <= read.texts.keys()
    assert sum(map(len, read.texts.values())) < 32 << 20
