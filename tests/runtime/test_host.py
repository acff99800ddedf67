"""Tests of the doctor: each missing requirement is one sentence with its remedy, and all are
reported at once.
"""

import dataclasses
import ipaddress
import socket
import sys
from pathlib import Path

import pytest

from runtime.config import NodeConfig
from runtime.contract.quantities import Bytes
from runtime.host import CAPABILITIES, CONTROLLERS, FEATURES, MachineFacts, lacks, look
from runtime.process import run

ROOT = Path(__file__).parents[2]
CONFIG = NodeConfig()
FINE = MachineFacts(
    root=True,
    capabilities=frozenset(CAPABILITIES),
    python=(3, 13),
    package_tool="apt-get",
    machine="x86_64",
    kernel=(6, 12),
    missing_features=(),
    user_namespaces=15000,
    controllers=CONTROLLERS,
    cgroups_writable=True,
    state_filesystem="ext4",
    state_exists=False,
    disk_free=Bytes.parse("20G"),
    memory=Bytes.parse("4G"),
    port_trouble="",
    used_networks=((ipaddress.IPv4Network("192.168.1.0/24"), "eth0"),),
)
ELSEWHERE = (
    (ipaddress.IPv4Network("10.210.8.0/24"), "tun0"),
    (ipaddress.IPv4Network("10.211.0.0/16"), "eth1"),
)


def test_a_good_machine_passes():
    assert lacks(FINE, CONFIG) == []


@pytest.mark.parametrize(
    ("change", "said", "remedy"),
    [
        ({"root": False}, "needs root", "sudo make up"),
        ({"capabilities": frozenset({"CAP_NET_ADMIN"})}, "CAP_SYS_ADMIN", "--privileged"),
        ({"python": (3, 9)}, "3.9", "newer python3"),
        ({"package_tool": ""}, "apt-get", "Debian"),
        ({"machine": "riscv64"}, "riscv64", "x86_64"),
        ({"kernel": (5, 15)}, "5.15", "newer kernel"),
        ({"missing_features": FEATURES[:1]}, "overlay", "CONFIG_OVERLAY_FS"),
        ({"user_namespaces": 0}, "User namespaces", "sysctl"),
        ({"controllers": frozenset({"cpu", "pids"})}, "memory", "cgroup_enable=memory"),
        ({"cgroups_writable": False}, "read-only", "--privileged"),
        ({"state_filesystem": "nfs4"}, "nfs4", "SLIPWAY_STATE"),
        (
            {"port_trouble": "Port 8080 on 127.0.0.1 is in use by nginx (process 7)"},
            "nginx",
            "SLIPWAY_HTTP_PORT",
        ),
        ({"used_networks": ELSEWHERE}, "10.210.8.0/24", "10.212.0.0/16"),
        ({"disk_free": Bytes.parse("1G")}, "1 GiB", "SLIPWAY_STATE"),
        ({"memory": Bytes.parse("512M")}, "512 MiB", "1 GiB"),
    ],
)
def test_each_missing_requirement_is_a_sentence_with_its_remedy(change, said, remedy):
    [lack] = lacks(dataclasses.replace(FINE, **change), CONFIG)
    assert said in lack.what
    assert remedy in lack.remedy
    assert lack.describe().endswith(".")


def test_all_missing_requirements_are_reported_at_once():
    poor = dataclasses.replace(
        FINE, root=False, kernel=(4, 19), memory=Bytes(0), port_trouble="Port 80 is in use by x"
    )
    assert len(lacks(poor, CONFIG)) == 4


def test_less_free_space_is_enough_after_the_stack_is_built():
    assert (
        lacks(dataclasses.replace(FINE, disk_free=Bytes.parse("1G"), state_exists=True), CONFIG)
        == []
    )


def test_looking_at_this_machine_creates_nothing(tmp_path):
    config = NodeConfig(state=tmp_path / "state", run=tmp_path / "run", http_port=1)
    host = look(config)
    assert host.kernel > (4, 0)
    assert host.state_filesystem
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("read_only", "writable"),
    [("-maxdepth 0", "True"), ("-mindepth 1 -maxdepth 1 -name pids", "False")],
)
def test_control_groups_are_writable_if_only_the_parent_folder_is_read_only(read_only, writable):
    if not Path("/sys/fs/cgroup/pids").is_mount():
        pytest.skip("this machine has only cgroup v2: there is one mount")
    made = f"find /sys/fs/cgroup {read_only} -exec mount -o remount,bind,ro {{}} \\;"
    asked = (
        "from runtime.host import look; from runtime.config import NodeConfig;"
        " print(look(NodeConfig()).cgroups_writable)"
    )
    printed = run(
        ["unshare", "--mount", "sh", "-c", f'{made} && exec "$0" -c "$1"', sys.executable, asked],
        cwd=ROOT,
    ).stdout.decode()
    assert printed.split()[-1] == writable


def test_the_program_on_our_port_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = NodeConfig(http_port=taken.getsockname()[1])
        trouble = look(config).port_trouble
    assert "is in use by" in trouble
    assert "another program" not in trouble
    assert look(config, port_is_ours=True).port_trouble == ""


def test_an_address_of_another_machine_is_reported():
    assert (
        "belongs to no interface"
        in look(NodeConfig(http_bind="192.0.2.250", http_port=8080)).port_trouble
    )
