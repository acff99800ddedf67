"""This tree reads a state folder that the tree before the renaming of the code wrote.

`earlier` has its files, written by its own functions. A test reads each file, asserts the values,
and saves them again where that is possible: the saved file must be equal, so no field is lost.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, ip_network
from pathlib import Path

import pytest

from runtime import journal
from runtime.builds.layer_cache import StepCache
from runtime.config import NodeConfig
from runtime.containers.container import Exit
from runtime.containers.folder import Folder, Made
from runtime.containers.spec import Bind, ContainerSpec, Limits, Purpose, Temporary
from runtime.contract.health import CheckKind, HealthCheck
from runtime.contract.json_values import to_json
from runtime.contract.quantities import Bytes, Millicores
from runtime.converge import app_state, request_counts
from runtime.converge.app_files import AppFiles
from runtime.converge.app_state import AppState
from runtime.converge.canary_analysis import GroupTraffic
from runtime.converge.observed import (
    Asleep,
    CanaryStage,
    Crashes,
    FailedAttempt,
    Group,
    InstanceState,
    ProbeResult,
    Slot,
)
from runtime.converge.probing import probe_results
from runtime.converge.request_counts import Requests
from runtime.images.digest import Digest
from runtime.images.inventory import take_inventory
from runtime.images.store import Store
from runtime.logs import shipping
from runtime.network.leases import NOBODY, Leases, Owner
from runtime.network.policies import Policies
from runtime.network.policy import Destination, EgressPolicy, NetworkPolicy
from runtime.network.traffic import Amount, Traffic
from runtime.router.document import to_document
from runtime.router.policy import BasicAuth, Credential, Policy, RequestLimits
from runtime.router.route_store import RouteStore
from runtime.router.routes import AppRoutes, AppSituation, Canary, Endpoint, PathRoute
from runtime.stacks.stack import Bare, DebianRuntime, NodeRuntime, Runtime, Stack, key
from runtime.stacks.versions import newest

EARLIER = Path(__file__).parent / "earlier"
WEB = "shop-3-1-web-1"
IMAGE = Digest("sha256:bf1c9a9747a2eea70026b85fbe28037d7b02f40075cb8c2d4808be9b147aafd1")
BLOB = Digest("sha256:bbc3379526e08a8ee352659d8dbe634e47700e09673edc18d89d33c52c71707e")
DIFF_ID = Digest("sha256:07bb52709bb259b607fc3284e6d077bac3487ba541044e6d76a63fd32e42eb85")


@pytest.fixture
def node(tmp_path: Path) -> NodeConfig:
    """A node whose folders have the files of the earlier tree."""
    for name in ("state", "run"):
        shutil.copytree(EARLIER / name, tmp_path / name)
    return NodeConfig(state=tmp_path / "state", run=tmp_path / "run")


def test_the_state_of_an_app_is_read(node: NodeConfig) -> None:
    path = node.state / "converge" / "shop.json"
    before = journal.read_json(path)
    state = app_state.load(path)
    assert state == AppState(
        serving=Group(3, 1),
        marks={
            WEB: InstanceState(
                ready_at=1700000001.5,
                check=HealthCheck(
                    kind=CheckKind.HTTP,
                    path="/healthz",
                    timeout=4.0,
                    start_period=20.0,
                    interval=7.0,
                    attempts=5,
                ),
            ),
            "shop-3-1-web-2": InstanceState(
                ready_at=1700000002.5,
                draining_since=1700000050.0,
                check=HealthCheck(kind=CheckKind.TCP),
            ),
            "shop-3-1-worker-1": InstanceState(
                ready_at=1700000003.5,
                refused="500 268435456 256 1073741824",
                check=HealthCheck(
                    kind=CheckKind.COMMAND, command=("/bin/sh", "-c", "test -e ready")
                ),
                failing_since=1700000040.0,
            ),
            "shop-4-1-web-1": InstanceState(condemned=True),
        },
        crashes={
            Slot(Group(4, 1), "web", 1): Crashes(
                count=3,
                at=1700000030.0,
                reason="It exited with status 1.",
                instance="shop-4-1-web-1",
            ),
            Slot(Group(3, 1), "worker", 2): Crashes(
                count=1, at=1700000031.0, reason="The machine restarted.", lost=True
            ),
        },
        verdict=FailedAttempt(
            release=4, attempt="12", reason="Instance web 1 exited.", rolled_back=True
        ),
        stage=CanaryStage(group=Group(5, 2), attempt="13", step=1, since=1700000060.0),
        woken_at=1700000000.0,
    )
    app_state.save(path, state)
    assert journal.read_json(path) == before


def test_a_sleeping_app_still_sleeps(node: NodeConfig) -> None:
    state = app_state.load(node.state / "converge" / "nap.json")
    assert state == AppState(serving=Group(1, 1), asleep=Asleep(since=1700000070.0))


def test_the_files_of_an_app_are_where_the_earlier_tree_wrote_them(node: NodeConfig) -> None:
    files = AppFiles(node)
    assert files.state("shop") == node.state / "converge" / "shop.json"
    assert set(files.checks("shop")) == {WEB, "shop-3-1-worker-1"}
    assert files.request_counts("shop") is not None
    assert set(files.probe_results("shop")) == {"shop-3-1-worker-1"}


def test_request_counts_are_read(node: NodeConfig) -> None:
    path = node.run / "requests" / "shop.json"
    before = journal.read_json(path)
    counted = request_counts.load(path)
    assert counted == Requests(
        counted_since=1700000000.0,
        last_at=1700000080.0,
        groups={
            Group(3, 1): GroupTraffic(
                requests=900, failed=3, median=0.02, tail=0.4, memory_kills=1, instances=2
            ),
            Group(5, 2): GroupTraffic(requests=100, median=0.03, tail=0.5),
        },
    )
    request_counts.save(path, counted)
    assert journal.read_json(path) == before


def test_results_of_health_checks_are_read(node: NodeConfig) -> None:
    path = node.run / "pulses" / "shop.json"
    assert probe_results.load(path) == {
        "shop-3-1-worker-1": ProbeResult(failures=4, at=1700000041.0, trouble="exited with 1")
    }


def test_the_journal_of_a_container_is_read(node: NodeConfig) -> None:
    folder = Folder(node.instances / WEB)
    journalled = folder.journalled()
    assert journalled is not None
    assert journalled.created_at == 1700000000.5
    assert journalled.spec == ContainerSpec(
        id=WEB,
        app="shop",
        team=7,
        layers=(Path("/layers/upper"), Path("/layers/lower")),
        command=("/bin/sh", "-c", "exec web"),
        environment={"PORT": "5000"},
        working_directory="/app",
        uid=1001,
        gid=1002,
        groups=(20,),
        limits=Limits(cpu=Millicores(500), memory=Bytes(2**28), processes=256, disk=Bytes(2**30)),
        binds=(Bind(source=Path("/srv/data"), target="/data", writable=True),),
        temporaries=(Temporary(target="/cache", size=Bytes(2**20)),),
        own_tmp=False,
        networked=True,
        purpose=Purpose.RUN,
        labels={"release": "3", "generation": "1", "process": "web", "number": "1"},
    )
    stored = journal.read_json(folder.path / "container.json")["spec"]
    # A container of the earlier tree has no volumes.
    assert json.loads(json.dumps(to_json(journalled.spec))) == {**stored, "volumes": []}
    assert folder.made() == Made(
        pid=4321,
        pid_started=99,
        monitor=4320,
        monitor_started=98,
        boot="11111111-2222-3333-4444-555555555555",
        address="10.210.0.9",
    )
    assert folder.started_at() == 1700000001.0
    assert folder.reason() == "The release was replaced."
    assert folder.ended() == Exit(
        code=137,
        signal=9,
        out_of_memory=True,
        at=1700000090.0,
        memory=Bytes(2**28),
        of_team=True,
        because="The release was replaced.",
    )
    code = folder.exit_code()
    assert code is not None
    assert code[0] == 137


def test_leases_keep_their_addresses_and_owners(node: NodeConfig) -> None:
    leases = Leases(node.state / "network", node="slipway", network=IPv4Network("10.210.0.0/16"))
    assert {
        name: (str(lease.address), lease.interface, lease.owner)
        for name, lease in leases.all().items()
    } == {
        WEB: ("10.210.0.2", "slipway-1", Owner(team=7, app="shop")),
        "build-12": ("10.210.0.3", "slipway-2", Owner(team=7, app="shop", build=True)),
        "older": ("10.210.0.4", "slipway-3", NOBODY),
    }
    assert leases.take(WEB).address == IPv4Address("10.210.0.2")
    fresh = leases.take("fresh")
    assert (str(fresh.address), fresh.interface) == ("10.210.0.5", "slipway-4")


def test_network_policies_and_known_addresses_are_read(node: NodeConfig) -> None:
    policies = Policies(node.state / "network")
    before = journal.read_json(node.state / "network" / "policies.json")
    assert policies.all() == {
        7: NetworkPolicy(
            egress=EgressPolicy.ALLOW_LIST,
            destinations=(
                Destination.parse("example.com:443"),
                Destination.parse("192.0.2.0/24:5000-5100"),
            ),
            builds_open=True,
            bandwidth=10_000_000,
        ),
        8: NetworkPolicy(egress=EgressPolicy.NONE),
        9: NetworkPolicy(),
    }
    assert policies.known() == {"example.com": [IPv4Address("198.51.100.7")]}
    policies.write(policies.all())
    assert journal.read_json(node.state / "network" / "policies.json") == before


def test_traffic_is_counted_on_from_the_stored_sums(node: NodeConfig) -> None:
    traffic = Traffic(node.state / "network")
    with traffic.changed() as sums:
        sums.add(WEB, Owner(team=7, app="shop"), Amount(sent=1500, received=2000), "2026-11")
    sums = traffic.sums()
    assert sums.apps == {"shop": Amount(sent=1500, received=2000)}
    assert sums.months == {"2026-11": {7: Amount(sent=1500, received=2000)}}


def test_the_routes_of_an_app_are_read(node: NodeConfig) -> None:
    placed = RouteStore(node).placed("shop")
    assert placed is not None
    assert placed.slots == {"web": 3, "api": 4}
    assert placed.routes == AppRoutes(
        app="shop",
        hosts=("shop.slipway.localhost", "*.shop.example.com"),
        endpoints=(
            Endpoint(instance=WEB, address="10.210.0.9", port=5000),
            Endpoint(
                instance="shop-5-2-web-1",
                address="10.210.0.10",
                port=5000,
                draining=True,
                process="api",
                weight=7,
                canary=True,
            ),
        ),
        policy=Policy(
            maintenance=True,
            maintenance_page="<p>{request_id}",
            error_page="<p>x",
            canonical_host="shop.example.com",
            https_only=True,
            hsts_seconds=3600,
            limits=RequestLimits(body=1, headers=2, rate=3, client_rate=4, open=5, client_open=6),
            timeout_seconds=60,
            hold_seconds=10,
            allowed=(ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")),
            auth=BasicAuth(
                salt="0123456789abcdef", credentials=(Credential(name="guest", digest="ab" * 32),)
            ),
            sticky=True,
            http2=True,
            keep_alive=True,
        ),
        paths=tuple(
            PathRoute(prefix=f"/p{number}", process="api", situation=situation)
            for number, situation in enumerate(AppSituation)
        ),
        canary=Canary(percent=10, token="preview-1"),
    )
    stored = json.loads((node.router / "routes" / "shop.json").read_text())
    assert json.loads(json.dumps(to_document(placed.routes, placed.slots))) == stored


def test_log_shipping_continues_where_it_stopped(node: NodeConfig) -> None:
    console = node.instances / WEB / "console.log"
    printed = b"2023-11-14T22:13:20.000000000Z stdout F before\n"
    console.write_bytes(printed)
    path = node.state / "shipping" / f"{WEB}.json"
    known = journal.read_json(path)
    assert (known["offset"], known["freed"], known["inode"]) == (123, 0, 77)
    known.update(offset=len(printed), inode=console.stat().st_ino)
    journal.write_json(path, known)
    with console.open("ab") as file:
        file.write(b"2023-11-14T22:13:21.000000000Z stdout F after\n")
    user = replace(node, user="root")
    shipper = shipping.Shipper(
        config=user,
        console=lambda instance: node.instances / instance / "console.log",
        free=lambda *_: None,
    )
    assert shipper.ship("shop", WEB, "web.1") == 1
    lines = (node.app_logs / "shop.log").read_text().splitlines()
    assert lines[:3] == (EARLIER / "state/logs/apps/shop.log").read_text().splitlines()
    assert [line.split(" ", 1)[1] for line in lines[3:]] == ["web.1 stdout after"]


def test_images_steps_and_stacks_are_read(node: NodeConfig) -> None:
    store = Store(node)
    layer = store.layer(DIFF_ID)
    assert layer is not None
    assert (layer.digest, layer.diff_id, layer.size) == (BLOB, DIFF_ID, 12)
    assert tuple(store.layers_of(IMAGE)) == (layer,)
    assert StepCache(node, store).find("c" * 64) == layer
    found = newest(node, store, "d" * 64)
    assert found is not None
    version, below = found
    assert (version.name, version.diff_id, version.built_at, dict(version.environment)) == (
        "debian-13",
        DIFF_ID,
        1700000000.0,
        {"LANG": "C.UTF-8"},
    )
    assert below == layer
    inventory = take_inventory(node, store)
    assert [(image.digest, image.diff_ids) for image in inventory.images.values()] == [
        (IMAGE, (DIFF_ID,))
    ]
    assert [(fact.diff_id, fact.digest, fact.unpacked) for fact in inventory.layers.values()] == [
        (DIFF_ID, BLOB, 2048)
    ]
    assert sorted((entry.diff_id, entry.stack) for entry in inventory.cache) == [
        (DIFF_ID, False),
        (DIFF_ID, True),
    ]
    assert [note.image for note in inventory.pulls] == [IMAGE]


STACK = Stack(name="sample", suite="trixie", packages=("curl",), files=(("/etc/x", "y"),))


@pytest.mark.parametrize(
    ("definition", "identity"),
    [
        (STACK, "0cce77d2965bb8c6f9b040dfde5e73b0bc61d6927d9793ba884e297b2100ab44"),
        (
            DebianRuntime(
                name="lang",
                stack=STACK,
                packages=("lang",),
                links=(("/usr/bin/l", "lang"),),
                program="/usr/bin/l",
            ),
            "b6f58bc82c7fff8fd36a529c4b38da20dec6aefccb964c4f118f2b7e53455408",
        ),
        (
            NodeRuntime(version="22.1.0", npm="10.1.0"),
            "eafbb7d2e7efac408bcc9537fc7517d67b25500f468946cc9129ea315d9eff83",
        ),
        (Bare(stack=STACK), "0fd6056d5dd86272689657626b73d5afd25bfab5b340ee642548b77599ae329f"),
    ],
    ids=["stack", "runtime", "node", "bare"],
)
def test_a_definition_keeps_the_identity_under_which_its_layer_is_stored(
    definition: Stack | Runtime | Bare, identity: str
) -> None:
    assert key(definition, "x86_64") == identity
