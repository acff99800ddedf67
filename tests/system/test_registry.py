"""Tests of pulls and pushes with the real clients: skopeo, podman, buildah."""

import gzip
import hashlib
import json
import shutil

import httpx
import pytest

from runtime.process import Completed, run
from tests.podman import podman
from tests.system.conftest import TEAM
from tests.system.support.waiting import until

APP = "boxed"


@pytest.fixture(scope="module")
def host(box) -> str:
    return f"127.0.0.1:{box.port}"


@pytest.fixture(scope="module")
def credentials(admin) -> str:
    return f"{admin.username}:{admin.token}"


@pytest.fixture(scope="module")
def released(box, admin) -> str:
    """Return TEAM/hello: the example that `make up` deployed."""
    return f"{admin.get('/apps/hello')['team']}/hello"


@pytest.fixture(scope="module")
def repository(admin) -> str:
    admin.create_app(TEAM, APP)
    return f"{TEAM}/{APP}"


def skopeo(*words: str, check: bool = True) -> Completed:
    return run(["skopeo", "--insecure-policy", *words], timeout=200, check=check)


def live(admin, number: int) -> None:
    admin.settled(
        APP,
        until(lambda: release_of(admin, number), within=120, what=f"v{number} of {APP} is made"),
    )
    (rollout,) = [row for row in admin.get(f"/apps/{APP}/rollouts") if row["release"] == number]
    assert rollout["state"] == "live", rollout["reason"]


def release_of(admin, number: int) -> int | None:
    failed = [row for row in admin.get(f"/apps/{APP}/builds") if row["state"] == "failed"]
    assert not failed, failed[0]["reason"]
    return next(
        (number for row in admin.get(f"/apps/{APP}/releases") if row["number"] == number), None
    )


def test_skopeo_pulls_a_release_and_pushes_it_as_another_app(
    box, admin, host, credentials, released, repository, tmp_path
):
    layout = f"oci:{tmp_path / 'layout'}:image"
    skopeo(
        "copy",
        "--src-tls-verify=false",
        "--src-creds",
        credentials,
        f"docker://{host}/{released}:v1",
        layout,
    )
    target = f"docker://{host}/{repository}:1.0"
    refused = skopeo(
        "copy",
        "--dest-tls-verify=false",
        "--dest-creds",
        f"{admin.username}:slip_wrong",
        layout,
        target,
        check=False,
    )
    assert refused.returncode != 0
    assert b"401" in refused.stderr or b"unauthorized" in refused.stderr.lower(), refused.stderr
    reserved = skopeo(
        "copy",
        "--dest-tls-verify=false",
        "--dest-creds",
        credentials,
        layout,
        f"docker://{host}/{repository}:v9",
        check=False,
    )
    assert b"is reserved for releases" in reserved.stderr, reserved.stderr
    skopeo("copy", "--dest-tls-verify=false", "--dest-creds", credentials, layout, target)
    live(admin, 1)
    assert box.ask(APP).status_code == 200
    access = ["--tls-verify=false", "--creds", credentials]
    digests = {
        json.loads(skopeo("inspect", *access, f"docker://{host}/{name}").stdout)["Digest"]
        for name in (f"{released}:v1", f"{repository}:1.0", f"{repository}:v1")
    }
    assert len(digests) == 1, "the pulled image is the pushed image"
    tags = json.loads(skopeo("list-tags", *access, f"docker://{host}/{repository}").stdout)["Tags"]
    assert tags == ["1.0", "v1"]
    assert not list((box.config.received).iterdir()), "no second copy"
    page = admin.pages.get(f"/apps/{APP}").text
    assert f"docker push {box.config.portal_host}:{box.port}/{repository}:latest" in page


def test_docker_before_23_pulls_gzip_layers(admin, host, released):
    client = httpx.Client(
        base_url=f"http://{host}/v2/{released}",
        auth=(admin.username, admin.token),
        headers={"User-Agent": "docker/20.10.24 go/go1.18.10 os/linux arch/amd64"},
        timeout=120,
    )
    answer = client.get("/manifests/v1")
    assert answer.status_code == 200, answer.text
    layers = answer.json()["layers"]
    assert {layer["mediaType"].rpartition("+")[2] for layer in layers} == {"gzip"}
    smallest = min(layers, key=lambda layer: layer["size"])
    blob = client.get(f"/blobs/{smallest['digest']}").content
    assert f"sha256:{hashlib.sha256(blob).hexdigest()}" == smallest["digest"]
    assert gzip.decompress(blob)
    again = client.get(f"/manifests/{answer.headers['Docker-Content-Digest']}")
    assert again.content == answer.content


@pytest.mark.skipif(
    shutil.which("podman") is None, reason="podman is not installed: apt-get install podman"
)
def test_podman_pulls_changes_and_pushes(box, admin, host, credentials, repository):
    access = ("--tls-verify=false", "--creds", credentials)
    with podman() as pod:
        pod.podman("pull", "--quiet", *access, f"{host}/{repository}:1.0")
        container = (
            pod.buildah("from", "--pull-never", f"{host}/{repository}:1.0").stdout.decode().strip()
        )
        pod.buildah("config", "--env", "GREETING=changed", container)
        pod.buildah("commit", "--quiet", container, f"{host}/{repository}:2.0")
        pod.podman("push", "--quiet", *access, f"{host}/{repository}:2.0")
        live(admin, 2)
        assert box.ask(APP).status_code == 200
        pod.podman("pull", "--quiet", *access, f"{host}/{repository}:v2")
