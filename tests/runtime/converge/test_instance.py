from pathlib import Path

import pytest

from runtime.containers.command_line import NO_SHELL
from runtime.containers.spec import Limits, TeamLimits
from runtime.contract.quantities import Bytes, Millicores
from runtime.converge.container_spec import command_of, new_name, source_of, spec_for_release_phase
from runtime.converge.desired import DesiredApp, DesiredRelease
from runtime.images.digest import Digest
from runtime.images.manifest import ImageConfig
from runtime.images.store import Image


@pytest.mark.parametrize(
    "line",
    [
        "gunicorn app:app",
        "python3 -m http.server $PORT",
        'node -e "a(); b && c"',
        "run > /dev/null 2>&1",
        "  spaced  ",
        "a ${PORT:-1} #hash",
    ],
)
def test_a_simple_line_replaces_its_shell(line):
    assert command_of(line)[-1] == f"exec {line.strip()}"


@pytest.mark.parametrize(
    "line",
    [
        "a && b",
        "a | b",
        "a; b",
        "a & wait",
        "(a)",
        "DEBUG=1 a",
        "cd app && a",
        "exec a",
        "echo hello",
        "if x; then y; fi",
        "a\nb",
        "a 'open",
        "x $(nproc)",
        "[[ -e x ]]",
        "time a",
    ],
)
def test_a_line_that_exec_cannot_run_keeps_its_shell(line):
    assert command_of(line)[-1] == line


def test_every_part_of_the_node_accepts_the_name_of_an_instance():
    name = new_name("a" * 40, "Sidekiq_Worker-with.a.very.long.name.indeed", "1a2b3c4d")
    assert name == f"{'a' * 40}-sidekiq-worker-with-a-ve-1a2b3c4d"
    assert len(name) <= 80
    assert source_of(name, "Sidekiq_Worker") == "Sidekiq_Worker.1a2b3c4d"
    assert new_name("a", "___", "00") == "a-process-00"


@pytest.mark.parametrize(
    ("labels", "command"),
    [
        ({}, command_of("shop --port $PORT --name '$NAME'")),
        ({NO_SHELL: "true"}, ("shop", "--port", "8000", "--name", "two words")),
    ],
)
def test_a_line_is_split_here_if_the_image_has_no_shell(labels, command):
    limits = Limits(cpu=Millicores(500), memory=Bytes(64 << 20), processes=32, disk=Bytes(1 << 20))
    team = TeamLimits(cpu=Millicores(500), memory=Bytes(64 << 20), processes=32)
    app = DesiredApp(app="shop", team=1, hosts=(), team_limits=team)
    release = DesiredRelease(number=3, image="", environment={"NAME": "two words"}, processes=())
    image = Image(
        digest=Digest.of(b""), config=ImageConfig(labels=labels), layers=(Path("/layer"),), size=1
    )
    line = "shop --port $PORT --name $NAME" if labels else "shop --port $PORT --name '$NAME'"
    spec = spec_for_release_phase(
        app, release, image, id="shop-release-1", command=line, limits=limits
    )
    assert spec.command == command
    assert spec.environment["SLIPWAY_MEMORY"] == str(64 << 20)
