"""Pure tests of Node.js: versions in the forms that people write, and the scripts of a build."""

from __future__ import annotations

import json

import pytest

from runtime.builds.languages.detect import LanguageName
from runtime.builds.languages.javascript.node_version import version_range
from runtime.errors import BadSource
from runtime.stacks.definition import NODE_DEFAULT, NODE_LTS, NODE_MAJORS, NODE_NEWEST, node
from runtime.stacks.stack import NodeRuntime
from tests.runtime.builds.languages.planning import of

OLDEST_LTS, NEWEST_LTS = "18.20.8", "24.21.0"


def version_by(file: str, text: str) -> str:
    runtime = of({"package.json": "{}", "index.js": "", file: text}).runtime
    assert isinstance(runtime, NodeRuntime)
    return runtime.version


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("lts/*", NEWEST_LTS),
        ("lts", NEWEST_LTS),
        ("--lts\n", NEWEST_LTS),
        ("lts/-1", NODE_DEFAULT),
        ("lts/jod", NODE_DEFAULT),
        ("lts/Iron", "20.20.2"),
        ("lts-hydrogen", OLDEST_LTS),
        ("krypton", NEWEST_LTS),
        ("node", "26.12.1"),
        ("latest", "26.12.1"),
        ("stable", "26.12.1"),
        ("*", NODE_DEFAULT),
        ("v22", NODE_DEFAULT),
        ("22.x", NODE_DEFAULT),
        ("v20.11.1", "20.11.1"),
        ("node-v20.11.1", "20.11.1"),
        ("# of the team\n\n  20.11.1  # until spring\r\n", "20.11.1"),
        ("corepack=1\nv18\n", OLDEST_LTS),
        (">=18 <21", "20.20.2"),
        (">= 20, <21", "20.20.2"),
        ("18 || 20", "20.20.2"),
        ("26", "26.12.1"),
    ],
)
def test_nvmrc_is_read_in_every_form(text: str, version: str) -> None:
    assert version_by(".nvmrc", text) == version
    assert version_by(".node-version", text) == version


@pytest.mark.parametrize(
    ("wish", "version"),
    [
        ("lts/*", NEWEST_LTS),
        ("v20.11.1", "20.11.1"),
        ("20 - 22", NODE_DEFAULT),
        ("^v22.0.0", NODE_DEFAULT),
        ("latest", "26.12.1"),
    ],
)
def test_engines_take_the_same_forms(wish: str, version: str) -> None:
    package = json.dumps({"engines": {"node": wish}})
    runtime = of({"package.json": package, "index.js": ""}).runtime
    assert isinstance(runtime, NodeRuntime)
    assert runtime.version == version


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("lts/gallium", r"\.nvmrc requires Node\.js lts/gallium, which is not available"),
        ("lts/unknown", r"requires Node\.js lts/unknown, which is not available"),
        ("lts/-99", r"requires Node\.js lts/-99, which is not available"),
        ("99", r"requires Node\.js 99, which is not available\. Available: 18\.x, 20\.x"),
    ],
)
def test_a_version_that_does_not_exist_is_named(text: str, sentence: str) -> None:
    with pytest.raises(BadSource, match=sentence):
        version_by(".nvmrc", text)


def test_a_name_that_is_not_known_stays_as_it_is() -> None:
    assert version_range("lts/unknown") == "lts/unknown"
    assert {version_range(f"lts/{name}") for name in NODE_LTS} == {
        f"{major}.x" for major in NODE_LTS.values()
    }


def test_each_major_version_has_its_newest_version() -> None:
    assert tuple(int(version.partition(".")[0]) for version in NODE_NEWEST) == NODE_MAJORS


@pytest.mark.parametrize(
    ("version", "npm"),
    [("18.12.1", "9"), ("18.17.0", "10"), ("19.8.1", "9"), ("20.4.0", "9"), ("20.5.0", "10")],
)
def test_an_early_node_gets_an_npm_that_runs_on_it(version: str, npm: str) -> None:
    assert node(version).npm.partition(".")[0] == npm


def planned_scripts(scripts: dict[str, str], **package: object) -> list[tuple[str, str]]:
    decided = of({"package.json": json.dumps({"scripts": scripts, **package}), "index.js": ""})
    return [(install.name, install.shown) for install in decided.installs]


BUILD = ("Build script", "npm run build")


@pytest.mark.parametrize(
    ("scripts", "steps"),
    [
        ({"build": "x"}, [BUILD]),
        ({"build": "x", "heroku-postbuild": "y"}, [("Build script", "npm run heroku-postbuild")]),
        ({"heroku-postbuild": "y"}, [("Build script", "npm run heroku-postbuild")]),
        ({"heroku-postbuild": " ", "build": "x"}, [BUILD]),
        ({"heroku-prebuild": "z", "build": "x"}, [BUILD]),
        ({"build": ""}, []),
    ],
)
def test_heroku_postbuild_is_run_instead_of_build(
    scripts: dict[str, str], steps: list[tuple[str, str]]
) -> None:
    found = planned_scripts({**scripts, "start": "node index.js"})
    assert [step for step in found if step[0] == "Build script"] == steps


def test_heroku_prebuild_runs_before_the_packages_are_installed() -> None:
    decided = of(
        {
            "package.json": json.dumps(
                {
                    "scripts": {"heroku-prebuild": "z", "build": "x", "start": "y"},
                    "dependencies": {"x": "1"},
                }
            ),
            "index.js": "",
        }
    )
    assert [step.name for step in decided.installs] == [
        "Prebuild script",
        "Dependencies",
        "Build script",
    ]
    assert [step.on_code for step in decided.installs] == [True, True, True]
    assert planned_scripts({"heroku-prebuild": "z", "start": "y"}) == [
        ("Prebuild script", "npm run heroku-prebuild")
    ]


def test_the_build_prunes_before_heroku_cleanup_and_says_so() -> None:
    package = {
        "scripts": {"build": "x", "heroku-postbuild": "y", "heroku-cleanup": "z", "start": "s"},
        "devDependencies": {"x": "1"},
    }
    decided = of({"package.json": json.dumps(package), "index.js": "", "package-lock.json": "{}"})
    command = decided.installs[-1].command
    order = [
        command.index(word)
        for word in ("npm run heroku-postbuild", "npm prune --omit=dev", "npm run heroku-cleanup")
    ]
    assert order == sorted(order)
    assert "NODE_ENV=production" in command
    assert {
        "Note: heroku-postbuild is run instead of build, as on Heroku.",
        "Note: devDependencies are installed for the build and removed after it.",
    } <= {*decided.notes}


def test_heroku_postbuild_makes_a_site_as_build_does() -> None:
    decided = of(
        {
            "package.json": '{"scripts":{"heroku-postbuild":"vite build","start":"vite"}}',
            "index.html": "",
        }
    )
    assert decided.detected.language is LanguageName.STATIC
    assert decided.earlier is not None
    assert "npm run heroku-postbuild &&" in decided.earlier.installs[-1].command
