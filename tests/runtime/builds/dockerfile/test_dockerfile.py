"""End-to-end tests of Dockerfiles: the step cache, the sandbox, secrets, and invalid input."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.containers.spec import ContainerSpec
from runtime.contract.health import CheckKind, HealthCheck
from runtime.contract.quantities import Bytes
from runtime.errors import BadSource, BuildFailed
from tests.runtime.builds.conftest import LIMITS, Forge
from tests.runtime.builds.dockerfile.test_dockerfile_reference import build


def source(folder: Path, dockerfile: str, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(dockerfile)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def test_the_entrypoint_of_a_dockerfile_is_the_web_process(forge: Forge) -> None:
    files = {
        "Dockerfile": (
            'FROM python-3.13\nUSER app\nCOPY site /site\nENTRYPOINT ["python3"]\nCMD ["-c",'
            ' "print(1 + 1)"]\n'
        )
    }
    built = forge.build({**files, "site/index.html": "hello"})
    assert built.processes == {"web": "python3 -c 'print(1 + 1)'"}
    image = forge.store.image(built.digest)
    assert (image.config.user, image.config.labels["slipway.user"]) == ("app", "1000:1000")
    assert image.config.labels["slipway.web"] == built.processes["web"]
    assert [(step.created_by, step.empty) for step in image.config.history] == [
        ("debian-13", False),
        ("python-3.13", False),
        ("USER app", True),
        ("COPY site /site", False),
        ('ENTRYPOINT ["python3"]', True),
        ('CMD ["-c", "print(1 + 1)"]', True),
    ]
    said: list[str] = []
    spec = ContainerSpec(
        id="ran",
        app="app",
        team=1,
        layers=image.layers,
        command=(*image.config.entrypoint, *image.config.command),
        environment=image.config.environment,
        limits=LIMITS,
    )
    try:
        assert (
            forge.containers.run(spec, on_output=lambda _, line: said.append(line), timeout=20).code
            == 0
        )
    finally:
        forge.containers.remove("ran")
    assert said == ["2"]
    again = forge.build({**files, "site/index.html": "hello"}, app="second")
    assert again.digest == built.digest
    assert "COPY site /site: cached" in forge.said()


def test_other_files_are_built_if_the_base_image_is_not_available(forge: Forge) -> None:
    dockerfile = (
        "FROM registry.invalid/python:3.12-slim AS build\nRUN true\nFROM build\nCMD python3"
        " app.py\n"
    )
    built = forge.build({"Dockerfile": dockerfile, "index.html": "hello"})
    assert "The Dockerfile starts with registry.invalid/python:3.12-slim. " in forge.said()
    assert forge.store.image(built.digest).config.labels["slipway.language"] == "static site"
    with pytest.raises(
        BadSource, match=r"line 1: Could not pull the image registry\.invalid/python:3\.12-slim"
    ):
        forge.build({"Dockerfile": dockerfile})


def test_slipway_toml_configures_the_dockerfile_and_the_healthcheck_is_kept(forge: Forge) -> None:
    dockerfile = (
        'FROM debian-13\nARG FLAVOUR\nRUN echo "$FLAVOUR" > /flavour\nHEALTHCHECK --interval=5s'
        " --retries=2 CMD test -e /flavour\n"
    )
    said = (
        "[build]\ndockerfile = 'deploy/Dockerfile'\nargs = { FLAVOUR = 'plain'"
        " }\n[processes.web]\ncommand = 'cat /flavour'\n[processes.odd]\n"
    )
    built = forge.build(
        {
            "deploy/Dockerfile": dockerfile,
            "slipway.toml": said,
            "app.json": "{",
            "package.json": "{}",
        }
    )
    assert built.processes == {"web": "cat /flavour"}
    assert built.health == HealthCheck(
        kind=CheckKind.COMMAND,
        command=("/bin/sh", "-c", "test -e /flavour"),
        timeout=30,
        start_period=0,
        interval=5,
        attempts=2,
    )
    assert built.app_file.building.arguments == {"FLAVOUR": "plain"}
    assert "app.json is ignored" in forge.said()
    assert "configures process type odd, but no command is defined for it" in forge.said()
    flavour = next(
        layer / "flavour"
        for layer in forge.store.image(built.digest).layers
        if (layer / "flavour").exists()
    )
    assert flavour.read_text() == "plain\n"
    with pytest.raises(
        BadSource, match="requires a Dockerfile at deploy/Dockerfile, which is not in the source"
    ):
        forge.build({"slipway.toml": said})
    with pytest.raises(BadSource, match=r"slipway\.toml: webs is not a known key"):
        forge.build({"slipway.toml": "[webs]", "Procfile": "web: x"})


def test_a_procfile_overrides_the_image_for_the_processes_it_names(forge: Forge) -> None:
    dockerfile = 'FROM debian-13\nCMD ["sleep", "1"]\n'
    assert forge.build({"Dockerfile": dockerfile, "Procfile": "worker: sleep 2\n"}).processes == {
        "web": "sleep 1",
        "worker": "sleep 2",
    }
    assert forge.build({"Dockerfile": dockerfile, "Procfile": "web: sleep 3\n"}).processes == {
        "web": "sleep 3"
    }


def test_only_changed_steps_and_later_ones_are_built_again(forge: Forge, tmp_path: Path) -> None:
    dockerfile = (
        "FROM debian-13\nARG V=1\nCOPY a /a\nRUN cat /a > /fresh1\nCOPY b /b\nRUN cat /b >"
        " /fresh2\nCMD x\n"
    )
    tree = source(tmp_path / "s", dockerfile, a="cache-a", b="1")
    build(forge, tree)
    forge.log.clear()
    (tree / "b").write_text("2")
    build(forge, tree)
    assert "RUN cat /a > /fresh1: cached" in forge.said()
    assert "COPY b /b: cached" not in forge.said()
    assert "/fresh2: cached" not in forge.said()
    forge.log.clear()
    started = time.monotonic()
    build(forge, tree)
    assert time.monotonic() - started < 2
    assert forge.said().count(": cached") == 4
    forge.log.clear()
    build(forge, tree, arguments={"V": "2"})
    assert "RUN cat /a > /fresh1: cached" not in forge.said()
    assert "COPY a /a: cached" in forge.said()


def test_no_step_is_shared_by_teams_but_the_store_keeps_equal_layers_once(
    forge: Forge, tmp_path: Path
) -> None:
    tree = source(
        tmp_path / "s",
        "FROM debian-13 AS first\nCOPY list /list\nRUN cat /list > /own\nWORKDIR /work\n"
        "FROM debian-13\nCOPY --from=first /list /other\n"
        "RUN --mount=type=bind,from=first,target=/first cat /first/own > /copied\nCMD x\n",
        list="a file of the team",
    )
    made = build(forge, tree, team=1)
    forge.log.clear()
    build(forge, tree, team=1)
    assert forge.said().count(": cached") == 5
    forge.log.clear()
    other = build(forge, tree, team=2)
    assert ": cached" not in forge.said()
    assert other.layers[1].diff_id == made.layers[1].diff_id  # the same content in the same files


def test_the_memory_limit_of_a_team_does_not_decide_the_layer_of_another_team(
    forge: Forge,
) -> None:
    dockerfile = (
        "FROM python-3.13\nRUN python3 -c 'bytearray(300 << 20)' && echo good > /r || echo broken"
        " > /r\nRUN cat /r\nCMD x\n"
    )
    for team, memory, said in ((1, 64 << 20, "broken"), (2, 1 << 30, "good")):
        forge.log.clear()
        request = forge.request({"Dockerfile": dockerfile}, team=team)
        forge.builder.build(
            replace(request, limits=replace(LIMITS, memory=Bytes(memory))), forge.log.append
        )
        assert f"    {said}" in forge.log


def test_a_team_cannot_find_out_by_the_cache_what_another_team_copied(forge: Forge) -> None:
    copied = "FROM debian-13\nCOPY {} /app/.env\nCMD x\n"
    forge.build({"Dockerfile": copied.format(".env"), ".env": "PIN=4711\n"}, team=1)
    forge.build({"Dockerfile": copied.format("a/.env"), "a/.env": "PIN=4711\n"}, team=2)
    assert ": cached" not in forge.said()


def test_a_secret_is_in_the_step_and_not_in_the_layer_or_the_log(
    forge: Forge, tmp_path: Path
) -> None:
    dockerfile = (
        "FROM debian-13\nRUN --mount=type=secret,id=TOKEN cat /run/secrets/TOKEN && wc -c <"
        ' /run/secrets/TOKEN > /length\nRUN --mount=type=secret,id=TOKEN,env=T test -n "$T"\nRUN'
        " --mount=type=secret,id=MISSING test ! -e /run/secrets/MISSING\nCMD x\n"
    )
    made = build(forge, source(tmp_path / "s", dockerfile), secrets={"TOKEN": "s3cr3t-value"})
    assert "s3cr3t" not in forge.said()
    assert "    ****" in forge.said()
    layers = [forge.store.unpacked(layer) for layer in made.layers[1:]]
    assert not any(
        b"s3cr3t" in path.read_bytes()
        for layer in layers
        for path in layer.rglob("*")
        if path.is_file()
    )
    assert (layers[0] / "length").read_text().strip() == "12"
    with pytest.raises(BadSource, match="'NOPE' is required"):
        build(
            forge,
            source(
                tmp_path / "t",
                "FROM debian-13\nRUN --mount=type=secret,id=NOPE,required=true true\nCMD x\n",
            ),
        )


def test_a_cache_mount_is_kept_for_the_team_and_is_not_in_the_image(
    forge: Forge, tmp_path: Path
) -> None:
    line = (
        "RUN --mount=type=cache,target=/cache,sharing=locked echo x >> /cache/n && wc -l < /cache/n"
        " > /count\n"
    )
    made = build(forge, source(tmp_path / "a", f"FROM debian-13\n{line}CMD x\n"), team=7)
    made = build(
        forge, source(tmp_path / "b", f"FROM debian-13\nENV OTHER=1\n{line}CMD x\n"), team=7
    )
    layer = forge.store.unpacked(made.layers[-1])
    assert (layer / "count").read_text().strip() == "2"
    assert not any((layer / "cache").glob("*"))
    made = build(forge, source(tmp_path / "a", f"FROM debian-13\n{line}CMD x\n"), team=8)
    assert (forge.store.unpacked(made.layers[-1]) / "count").read_text().strip() == "1"


def test_a_step_with_a_cache_mount_outlives_a_measurement_of_the_cache(
    forge: Forge, tmp_path: Path
) -> None:
    steps = (
        "RUN --mount=type=cache,target=/cache,mode=0700 echo x > /cache/n && mkdir -m 0"
        " /cache/closed && sleep 6\nCMD x\n"
    )
    made = build(forge, source(tmp_path / "s", f"FROM debian-13\n{steps}"), team=9)
    assert len(made.layers) == 2


def test_a_failed_step_names_its_line_and_leaves_nothing(forge: Forge, tmp_path: Path) -> None:
    with pytest.raises(
        BuildFailed, match=r"Dockerfile, line 3: `RUN exit 3` failed. It exited with code 3."
    ):
        build(forge, source(tmp_path / "s", "FROM debian-13\n\nRUN exit 3\n"))


def test_a_copy_does_not_follow_a_link_out_of_the_image(forge: Forge, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    dockerfile = (
        f"FROM debian-13\nRUN ln -s {outside} /way && ln -s {outside}/file /file\nCOPY evil"
        " /way/\nCOPY evil /file\nCMD x\n"
    )
    build(forge, source(tmp_path / "s", dockerfile, evil="x"))
    assert list(outside.iterdir()) == []
    (tmp_path / "s" / "passwd").symlink_to("/etc/passwd")
    with pytest.raises(BadSource, match="leads outside the build context, or to a missing file"):
        build(forge, source(tmp_path / "s", "FROM debian-13\nCOPY passwd /stolen\nCMD x\n"))


@pytest.mark.parametrize(
    ("dockerfile", "sentence"),
    [
        ("FROM debian-13\nCOPY ../x /x\nCMD x", "line 2: ../x leads outside the build context"),
        (
            "FROM debian-13\nCOPY a/../../x /x\nCMD x",
            "line 2: a/../../x leads outside the build context",
        ),
        (
            "FROM debian-13\nCOPY <<../../../evil /x/\nhi\n../../../evil\nCMD x",
            "<<../../../evil is not a valid file name",
        ),
        ("FROM debian-13\nCOPY gone /x\nCMD x", "line 2: gone is not in the build context"),
        (
            "FROM debian-13\nADD https://example.org/x /x\nCMD x",
            "line 2: https://example.org/x cannot be fetched",
        ),
        (
            "FROM debian-13\nCOPY Dockerfile .dockerignore /x\nCMD x",
            "needs a folder as its destination",
        ),
        (
            "FROM nowhere.invalid/image:1\nCMD x",
            "line 1: Could not pull the image nowhere.invalid/image:1: ",
        ),
        ("FROM debian-13\nUSER nobody-here\nRUN true\nCMD x", "has no user 'nobody-here'"),
        ("FROM scratch\nRUN true\n", "line 2: RUN is not possible"),
        ("FROM scratch\nCMD x\n", "empty image"),
        ("FROM debian-13\n", "has no command to run"),
    ],
)
def test_an_invalid_dockerfile_is_refused_with_a_message(
    dockerfile: str, sentence: str, forge: Forge, tmp_path: Path
) -> None:
    with pytest.raises(BadSource) as caught:
        build(forge, source(tmp_path / "s", dockerfile))
    assert sentence in caught.value.what


@pytest.mark.parametrize(
    ("mount", "target"),
    [
        ("type=cache,target=/etc/hosts", "/etc/hosts"),
        ("type=cache,target=/etc/hosts/x", "/etc/hosts/x"),
        ("type=tmpfs,target=/etc/passwd", "/etc/passwd"),
        ("type=bind,source=Dockerfile,target=//usr", "/usr"),
    ],
)
def test_a_mount_that_does_not_fit_its_target_is_an_error_of_the_dockerfile(
    mount: str, target: str, forge: Forge
) -> None:
    with pytest.raises(BuildFailed) as caught:
        forge.build({"Dockerfile": f"FROM debian-13\nRUN --mount={mount} true\nCMD x\n"})
    assert caught.value.what == (
        "Dockerfile, line 2: could not create the step's container with the working directory /"
        f" and the mounts on {target}."
    )
    assert str(forge.config.state) not in caught.value.explain()


def test_five_hundred_stages_are_built_and_unneeded_ones_are_not(
    forge: Forge, tmp_path: Path
) -> None:
    chain = "".join(f"FROM s{n} AS s{n + 1}\nENV N={n}\n" for n in range(500))
    made = build(forge, source(tmp_path / "s", f"FROM debian-13 AS s0\n{chain}CMD x\n"))
    assert made.config.environment["N"] == "499"
    unneeded = "".join(f"FROM debian-13 AS u{n}\nRUN false\n" for n in range(499))
    build(forge, source(tmp_path / "s", f"{unneeded}FROM debian-13\nCMD x\n"))
    assert "499 of 500 stages are not needed" in forge.said()


def test_a_cancelled_step_ends_at_once(forge: Forge) -> None:
    started = time.monotonic()
    with pytest.raises(BuildFailed, match="cancelled"):
        forge.build(
            {"Dockerfile": "FROM debian-13\nRUN sleep 60\nCMD x\n"},
            cancelled=lambda: time.monotonic() - started > 2,
        )
    assert time.monotonic() - started < 10
