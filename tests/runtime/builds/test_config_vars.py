"""Tests of the config vars that build steps see: their values, the log, and who shares a layer."""

from __future__ import annotations

import json

import pytest

from runtime.builds.steps import Install, Tool, step_key
from runtime.builds.variables import seen_by
from tests.runtime.builds.conftest import Forge
from tests.runtime.builds.test_builds import get, served

SERVER = (
    'require("http").createServer((q, r) => r.end(require("fs").readFileSync("built.txt")))'
    '.listen(process.env.PORT, "0.0.0.0")'
)
FILES = {
    "index.js": SERVER,
    "package.json": json.dumps(
        {
            "scripts": {
                "build": 'echo "$API_URL $PATH" | tee built.txt',
                "start": "node index.js",
            }
        }
    ),
}
LOCK = Install(
    name="Packages", tool=Tool.NPM, files=(".npmrc",), whole=False, command="npm ci", keep=("app",)
)


def test_a_build_script_sees_them_and_the_log_shows_no_value(forge: Forge) -> None:
    config = {"API_URL": "https://api.example.com/key", "PATH": "/nowhere"}
    with served(forge, forge.build(FILES, config_vars=config)) as url:
        page = get(url)[1]
    assert page.startswith("https://api.example.com/key ")
    assert "/nowhere" not in page
    assert "Build script: sees the config var API_URL" in forge.said()
    assert "api.example.com" not in forge.said()
    assert "    **** " in forge.said()


def test_a_layer_is_reused_with_the_same_values_only_and_never_by_another_team(
    forge: Forge,
) -> None:
    for config, team, is_cached in (
        ({"API_URL": "https://a.example.com"}, 1, False),
        ({"API_URL": "https://a.example.com"}, 1, True),
        ({"API_URL": "https://b.example.com"}, 1, False),
        ({"API_URL": "https://a.example.com"}, 2, False),
    ):
        forge.build(FILES, config_vars=config, team=team)
        assert ("Build script: cached" in forge.said()) is is_cached, (config, team)


def test_a_dockerfile_gets_them_as_arguments_and_secrets(forge: Forge) -> None:
    dockerfile = (
        "FROM debian-13\n"
        "ARG API_URL=none\n"
        "ARG OTHER=none\n"
        'RUN echo "$API_URL $OTHER" | tee /seen\n'
        'RUN --mount=type=secret,id=API_URL test "$(cat /run/secrets/API_URL)" = "$API_URL"\n'
        "CMD cat /seen\n"
    )
    config = {"API_URL": "https://api.example.com/key"}
    forge.build({"Dockerfile": dockerfile}, config_vars=config)
    assert "    **** none" in forge.said()
    assert "api.example.com" not in forge.said()
    forge.build({"Dockerfile": dockerfile}, config_vars=config)
    assert "| tee /seen: cached" in forge.said()
    forge.build({"Dockerfile": dockerfile}, config_vars=config, team=2)
    assert "| tee /seen: cached" not in forge.said()


def test_the_output_of_a_dockerfile_step_shows_no_config_var_inside_another_value(
    forge: Forge,
) -> None:
    dockerfile = (
        "ARG TOKEN\n"
        "ARG ADDRESS=https://user:${TOKEN}@example.org\n"
        "FROM debian-13\n"
        "ARG ADDRESS\n"
        'RUN echo "got $ADDRESS, $(echo "$ADDRESS" | cut -c 14-27)"\n'
        "RUN --mount=type=secret,id=PIN echo short $(cat /run/secrets/PIN)\n"
        "RUN echo again 4711, kept abc\n"
        "CMD x\n"
    )
    config = {"TOKEN": "topsecretvalue", "PIN": "4711", "WORD": "abc"}
    forge.build({"Dockerfile": dockerfile}, config_vars=config)
    assert "    got https://user:****@example.org, ****" in forge.log
    assert "    short ****" in forge.log
    assert "    again ****, kept abc" in forge.log


@pytest.mark.parametrize(
    ("contents", "config", "seen"),
    [
        ({".npmrc": b"//x/:_authToken=${NPM_TOKEN}"}, {"NPM_TOKEN": "t"}, {"NPM_TOKEN"}),
        ({".npmrc": b"a=b"}, {"NPM_TOKEN": "t", "DATABASE_URL": "d"}, set()),
        ({".npmrc": b"a=b"}, {"NPM_CONFIG_LOGLEVEL": "v"}, {"NPM_CONFIG_LOGLEVEL"}),
        ({"package.json": b"NODE_ENV=production x"}, {"NODE_ENV": "production"}, set()),
        ({".npmrc": b"LD_PRELOAD HOME"}, {"LD_PRELOAD": "/x.so", "HOME": "/x"}, set()),
    ],
)
def test_a_step_that_reads_files_sees_only_what_they_name(
    contents: dict[str, bytes], config: dict[str, str], seen: set[str]
) -> None:
    assert set(seen_by(LOCK, contents, config)) == seen


def test_the_key_of_a_step_without_config_vars_is_the_same_as_before() -> None:
    key = step_key(LOCK, "sha256:0", {}, {})
    assert key == step_key(LOCK, "sha256:0", {}, {}, variables={})
    assert key != step_key(LOCK, "sha256:0", {}, {}, variables={"A": "1"})
