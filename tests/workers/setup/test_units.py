"""Tests of the systemd units: systemd accepts them, and they run what `make up` runs."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

from runtime.config import NodeConfig
from runtime.process import run
from workers.setup import units
from workers.setup.processes import ROUTER_NICENESS, programs

ROOT = Path(__file__).parents[3]
NAMES = ["redis", "router", "portal", "worker-build", "worker-node", "supervisor"]
MOST = 5.0  # exposure, of 10
USERS = "root"  # systemd-analyze looks users up, and this machine may lack the platform's user


@pytest.fixture
def config(tmp_path: Path) -> NodeConfig:
    return NodeConfig(state=tmp_path / "state", run=tmp_path / "run")


def rendered(config: NodeConfig, *, private_redis: bool = True) -> dict[str, str]:
    items = programs(
        config,
        venv=ROOT / ".venv",
        router=["/bin/sh", "-c", "sleep 1"],
        private_redis=private_redis,
    )
    return units.render(config, items, root=ROOT, python=ROOT / ".venv/bin/python")


def parsed(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    parser.read_string(text)
    return parser


def written(folder: Path, texts: dict[str, str]) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text)
    return [folder / name for name in texts]


def test_each_program_has_its_unit_under_one_target(config):
    texts = rendered(config)
    assert list(texts) == [
        "slipway.target",
        "slipway-prepare.service",
        "slipway-router.socket",
        *(f"slipway-{name}.service" for name in NAMES),
    ]
    wanted = parsed(texts["slipway.target"])
    assert wanted["Unit"]["Wants"].split() == [
        "slipway-router.socket",
        *(f"slipway-{name}.service" for name in NAMES),
    ]
    assert wanted["Install"]["WantedBy"] == "multi-user.target"
    for name in NAMES:
        unit = parsed(texts[f"slipway-{name}.service"])
        assert unit["Service"]["Restart"] == "always"
        assert "slipway-prepare.service" in unit["Unit"]["Requires"].split()
        assert unit["Unit"]["PartOf"] == "slipway.target"


def test_a_second_platform_has_its_own_names(tmp_path):
    second = NodeConfig(name="blue", state=tmp_path / "state", run=tmp_path / "run")
    texts = rendered(second)
    assert set(texts).isdisjoint(rendered(NodeConfig()))
    assert "slipway-blue.target" in texts
    assert "slipway-blue-prepare.service" in texts["slipway-blue-portal.service"]


def test_systemd_holds_the_sockets_of_the_router(tmp_path):
    config = NodeConfig(
        state=tmp_path / "state", run=tmp_path / "run", http_bind="::", http_port=80, https_port=443
    )
    texts = rendered(config)
    assert "ListenStream=[::]:80\nListenStream=[::]:443\n" in texts["slipway-router.socket"]
    unit = parsed(texts["slipway-router.service"])
    assert unit["Service"]["Sockets"] == "slipway-router.socket"
    assert "slipway-router.socket" in unit["Unit"]["Requires"]


def test_the_portal_sees_the_checkout_where_its_user_may_read(config):
    unit = parsed(rendered(config)["slipway-portal.service"])["Service"]
    assert unit["BindReadOnlyPaths"] == f'"{ROOT}":"{config.run}/code"'
    assert unit["WorkingDirectory"] == f"{config.run}/code"


def test_the_router_has_priority_over_builds(config):
    texts = rendered(config)
    assert parsed(texts["slipway-router.service"])["Service"]["Nice"] == str(ROUTER_NICENESS)
    assert parsed(texts["slipway-worker-build.service"])["Service"]["Nice"] == "10"


def test_an_external_redis_has_no_unit(config):
    texts = rendered(config, private_redis=False)
    assert "slipway-redis.service" not in texts
    assert "slipway-redis.service" not in "".join(texts.values())


def test_systemd_accepts_the_units(config, tmp_path):
    config.run.mkdir()
    (config.run / "code").symlink_to(ROOT)  # where the portal's unit binds the checkout
    texts = {
        name: re.sub(r"^(User|Group)=.*", rf"\1={USERS}", text, flags=re.MULTILINE)
        for name, text in rendered(config).items()
    }
    result = run(
        [
            "systemd-analyze",
            "verify",
            "--man=no",
            "--recursive-errors=no",
            *written(tmp_path / "units", texts),
        ],
        check=False,
    )
    lines = [line for line in result.stderr.decode().splitlines() if "slipway" in line]
    assert not lines, "\n".join(lines)


@pytest.mark.parametrize("name", ["portal", "router", "redis"])
def test_processes_that_serve_are_within_the_exposure_limit(config, tmp_path, name):
    written(tmp_path / "units", rendered(config))
    result = run(
        [
            "systemd-analyze",
            "security",
            "--offline=true",
            "--no-pager",
            tmp_path / "units" / f"slipway-{name}.service",
        ],
        check=False,
    )
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", result.stdout.decode())
    assert found, result.stderr.decode()
    print(f"{name}: {found[1]}")
    assert float(found[1]) <= MOST, result.stdout.decode()


def test_workers_run_in_their_mount_namespace_with_limited_capabilities(config):
    texts = rendered(config)
    for name in ("worker-build", "worker-node", "supervisor"):
        unit = parsed(texts[f"slipway-{name}.service"])["Service"]
        assert unit["ExecStart"].startswith(f"nsenter --mount={config.run}/confined/mnt -- ")
        assert unit["KillMode"] == "process", "the monitors of apps outlive a worker"
        assert "CAP_SYS_MODULE" not in unit["CapabilityBoundingSet"]
        assert not any(
            setting.startswith(("Protect", "Private", "Restrict")) for setting in unit
        ), "containers would inherit it"


def test_settings_reach_a_unit_unchanged():
    value = 'p"a$s\\word %h'
    text = units.render_environment({"DATABASE_URL": value})
    assert text == 'DATABASE_URL="p\\"a\\$s\\\\word %h"\n'


def test_a_percent_sign_in_a_path_is_not_expanded(tmp_path):
    texts = rendered(NodeConfig(state=tmp_path / "100%", run=tmp_path / "run"))
    assert f"{tmp_path}/100%%/redis" in texts["slipway-redis.service"]
    assert not re.search(r"100%(?!%)", "".join(texts.values()).replace("%%", ""))
