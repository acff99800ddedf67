"""Tests of a team's network policy and the registries of its images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runtime.builds.egress import check_registry, egress_digest
from runtime.builds.import_image import ReferredImage, import_image
from runtime.builds.steps import Install, Tool, step_key
from runtime.config import NodeConfig
from runtime.containers.spec import TeamLimits
from runtime.contract.quantities import Bytes, Millicores
from runtime.errors import NotAllowed
from runtime.images.exchange.transfer import Access
from runtime.images.store import Store
from runtime.network.policy import Destination, EgressPolicy, NetworkPolicy

STEP = Install(
    name="Packages", tool=Tool.NPM, files=(), whole=False, command="npm ci", keep=("app",)
)
NONE = NetworkPolicy(egress=EgressPolicy.NONE)


def allowing(*lines: str) -> NetworkPolicy:
    return NetworkPolicy(
        egress=EgressPolicy.ALLOW_LIST, destinations=tuple(map(Destination.parse, lines))
    )


@pytest.mark.parametrize(
    ("policy", "image", "fits"),
    [
        (NetworkPolicy(), "anything.example/x", True),
        (NONE, "debian:12", False),
        (NetworkPolicy(egress=EgressPolicy.NONE, builds_open=True), "debian:12", True),
        (allowing("docker.io"), "debian:12", True),
        (allowing("docker.io:443"), "user/app", True),
        (allowing("docker.io:80"), "debian:12", False),
        (allowing("ghcr.io"), "debian:12", False),
        (allowing("ghcr.io"), "ghcr.io/a/b:1", True),
        (allowing("ghcr.io"), "evil.ghcr.io/a/b:1", False),
        (allowing("registry.test:5000"), "registry.test:5000/a", True),
        (allowing("registry.test:5000"), "registry.test/a", False),
        (allowing("192.0.2.0/24:5000"), "192.0.2.9:5000/a", True),
        (allowing("192.0.2.0/24"), "198.51.100.1:5000/a", False),
        (allowing("192.0.2.0/24"), "[2001:db8::1]:5000/a", False),
        (NONE, "not a name", True),  # the parser of names refuses it with its own message
    ],
)
def test_an_image_is_pulled_only_from_registries_that_the_policy_allows(
    policy: NetworkPolicy, image: str, fits: bool
) -> None:
    if fits:
        check_registry(policy, image)
        return
    with pytest.raises(
        NotAllowed, match="network policy of this team does not allow builds to fetch from"
    ):
        check_registry(policy, image)


def limits(policy: NetworkPolicy) -> TeamLimits:
    return TeamLimits(cpu=Millicores(1000), memory=Bytes(2**30), processes=100, network=policy)


def test_layers_are_shared_only_by_teams_with_the_same_rules_for_builds() -> None:
    def key(policy: NetworkPolicy) -> str:
        return step_key(STEP, "sha256:0", {}, {}, egress=egress_digest(limits(policy)))

    before = step_key(STEP, "sha256:0", {}, {})
    assert egress_digest(None) == ""
    assert key(NetworkPolicy()) == before
    assert key(NetworkPolicy(egress=EgressPolicy.NONE, builds_open=True)) == before
    closed, listed, other = key(NONE), key(allowing("a.test", "b.test")), key(allowing("a.test"))
    assert len({before, closed, listed, other}) == 4
    assert listed == key(allowing("b.test", "a.test", "b.test"))
    assert closed == key(replace(allowing("a.test"), egress=EgressPolicy.NONE))


def test_a_deployed_image_of_a_registry_follows_the_policy_too(tmp_path: Path) -> None:
    config = NodeConfig(name="tpolicy", state=tmp_path / "state", run=tmp_path / "run")
    image = ReferredImage(
        build_id=1,
        app="hello",
        name="registry.test/a:1",
        access=Access(),
        most=Bytes(2**20),
        team=1,
        policy=NONE,
    )
    lines: list[str] = []
    with pytest.raises(NotAllowed, match=r"registry\.test"):
        import_image(config, Store(config), image, lines.append)
    assert lines == [], "no request was sent"
