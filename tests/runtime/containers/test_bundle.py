"""Pure tests of the OCI runtime's configuration and of the files in a container's own folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runtime.containers import bundle
from runtime.containers.container import exit_of
from runtime.containers.seccomp import rules
from runtime.containers.sockets import parse
from runtime.containers.spec import Bind, ContainerSpec, Limits, Purpose
from runtime.contract.quantities import Bytes, Millicores
from runtime.libseccomp import ALLOW

SPEC = ContainerSpec(
    id="web-1",
    app="shop",
    team=1,
    layers=(),
    command=("python", "app.py"),
    environment={"PORT": "5000", "MOTTO": "a=b"},
    limits=Limits(cpu=Millicores(500), memory=Bytes(2**20), processes=10, disk=Bytes(2**20)),
)
HOST = bundle.HostFacts(
    rootfs=Path("/r"),
    etc=Path("/e"),
    temporary=Path("/t"),
    init=Path("/usr/bin/catatonit"),
    userns=Path("/u"),
    netns=Path("/n"),
    cgroup="/slipway/team1/web-1",
    show_cgroup=False,
    disks=("/sys/devices/pci0/block",),
    open_files=1024,
    accounts={"RLIMIT_SIGPENDING": 8192},
    seccomp=b"\0" * 8,
)


def test_the_config_joins_the_given_namespaces_and_creates_the_others() -> None:
    namespaces = bundle.config(SPEC, HOST)["linux"]["namespaces"]
    assert {"type": "user", "path": "/u"} in namespaces
    assert {"type": "network", "path": "/n"} in namespaces
    assert {space["type"] for space in namespaces} == {
        "user",
        "network",
        "pid",
        "mount",
        "ipc",
        "uts",
        "cgroup",
    }
    assert {"type": "network"} in bundle.config(SPEC, replace(HOST, netns=None))["linux"][
        "namespaces"
    ]


def test_the_command_runs_under_init_with_the_given_environment() -> None:
    process = bundle.config(SPEC, HOST)["process"]
    assert process["args"] == ["/dev/init", "--", "python", "app.py"]
    assert process["env"] == ["PORT=5000", "MOTTO=a=b"]
    assert process["noNewPrivileges"] is True


@pytest.mark.parametrize(
    ("purpose", "uid", "some"),
    [
        (Purpose.RUN, 1000, False),
        (Purpose.RUN, 0, False),
        (Purpose.BUILD, 1000, False),
        (Purpose.BUILD, 0, True),
    ],
)
def test_only_root_of_a_build_holds_capabilities(purpose: Purpose, uid: int, some: bool) -> None:
    held = bundle.config(replace(SPEC, purpose=purpose, uid=uid), HOST)["process"]["capabilities"]
    assert bool(held["bounding"]) is some
    assert not {
        "CAP_SYS_ADMIN",
        "CAP_NET_ADMIN",
        "CAP_SYS_PTRACE",
        "CAP_MKNOD",
        "CAP_NET_RAW",
    } & set(held["bounding"])
    assert held["ambient"] == []


def test_a_bind_of_the_caller_replaces_the_default_one() -> None:
    spec = replace(SPEC, binds=(Bind(source=Path("/x"), target="/etc/hosts"),))
    sources = [
        mount["source"]
        for mount in bundle.config(spec, HOST)["mounts"]
        if mount["destination"] == "/etc/hosts"
    ]
    assert sources == ["/x"]


def test_the_cgroup_is_mounted_read_only_or_not_at_all() -> None:
    shown = [
        mount
        for mount in bundle.config(SPEC, replace(HOST, show_cgroup=True))["mounts"]
        if mount["type"] == "cgroup"
    ]
    assert len(shown) == 1
    assert "ro" in shown[0]["options"]
    assert not any(mount["type"] == "cgroup" for mount in bundle.config(SPEC, HOST)["mounts"])


def test_a_long_id_is_shortened_to_a_valid_host_name() -> None:
    assert bundle.hostname(replace(SPEC, id="a" * 62 + "-b")) == "a" * 62


@pytest.mark.parametrize(
    ("of_host", "unstubbed", "expected"),
    [
        ("nameserver 192.0.2.1\nsearch lan\n", "", "nameserver 192.0.2.1\nsearch lan\n"),
        (
            "# none\nnameserver 127.0.0.53\noptions edns0\n",
            "nameserver 192.0.2.7\n",
            "nameserver 192.0.2.7\n",
        ),
        ("nameserver ::1\n", "", "nameserver 192.0.2.9\n"),
        ("", "", "nameserver 192.0.2.9\n"),
        ("nameserver 127.0.0.1\nnameserver 192.0.2.3\n", "", "nameserver 192.0.2.3\n"),
    ],
)
def test_the_resolver_is_that_of_the_host_unless_only_the_host_reaches_it(
    of_host: str, unstubbed: str, expected: str
) -> None:
    assert bundle.resolver_file(of_host, unstubbed=unstubbed, fallback=("192.0.2.9",)) == expected


@pytest.mark.parametrize(
    ("code", "oom_kills", "sentence"),
    [
        (0, 0, "It exited with code 0."),
        (0, 1, "It exited with code 0."),
        (3, 0, "It exited with code 3."),
        (143, 0, "It was ended by SIGTERM."),
        (137, 1, "It used all of its 512 MiB of memory and was killed."),
        (
            1,
            2,
            (
                "It exited with code 1 after the kernel had killed a process of it for using all of"
                " its 512 MiB of memory."
            ),
        ),
        (127, 0, "It exited with code 127: its command was not found."),
        (255, 0, "It exited with code 255."),
    ],
)
def test_an_exit_explains_itself(code: int, oom_kills: int, sentence: str) -> None:
    assert exit_of(code, at=0, oom_kills=oom_kills, memory=Bytes(512 * 2**20)).explain() == sentence


def test_listeners_are_read_from_the_tables_of_the_kernel() -> None:
    table = """  sl  local_address rem_address   st
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000
   1: 00000000:0050 00000000:0000 0A 00000000:00000000
   2: 0100007F:1F90 0100007F:9999 01 00000000:00000000
   3: 00000000000000000000000000000000:1388 00000000000000000000000000000000:0000 0A 0
   4: 00000000000000000000000001000000:1389 00000000000000000000000000000000:0000 0A 0
"""
    assert parse(table) == {("127.0.0.1", 8080), ("0.0.0.0", 80), ("::", 5000), ("::1", 5001)}


def test_profile_rules_depend_on_architecture_and_capabilities() -> None:
    profile = {
        "syscalls": [
            {"names": ["read", "clone", "mount"], "action": "SCMP_ACT_ALLOW"},
            {
                "names": ["arch_prctl"],
                "action": "SCMP_ACT_ALLOW",
                "includes": {"arches": ["amd64"]},
            },
            {
                "names": ["chroot"],
                "action": "SCMP_ACT_ALLOW",
                "includes": {"caps": ["CAP_SYS_CHROOT"]},
            },
            {
                "names": ["chroot"],
                "action": "SCMP_ACT_ERRNO",
                "errnoRet": 1,
                "excludes": {"caps": ["CAP_SYS_CHROOT"]},
            },
        ]
    }
    plain = {rule.syscall: rule.action for rule in rules(profile, "arm64", frozenset())}
    assert plain == {"read": ALLOW, "chroot": 0x50001}
    assert {
        rule.syscall
        for rule in rules(profile, "amd64", frozenset({"CAP_SYS_CHROOT"}))
        if rule.action == ALLOW
    } == {
        "read",
        "arch_prctl",
        "chroot",
    }
