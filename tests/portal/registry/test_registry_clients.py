"""Real registry clients against a listening portal."""

import json
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from portal.builds.models import Build
from portal.registry.access import tags_of
from tests.podman import podman
from tests.portal.conftest import People
from tests.runtime.images.test_transfer import a_layout


def ran(*words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(words, capture_output=True, timeout=120)


def test_skopeo_and_podman_push_and_pull(
    portal_url: str, committed_people: People, tmp_path: Path
) -> None:
    app = committed_people.app()
    host, credentials = (
        urlsplit(portal_url).netloc,
        f"owner:{committed_people.token(committed_people.owner)}",
    )
    layout = f"oci:{a_layout(tmp_path / 'layout')}:image"
    skopeo = ("skopeo", "--insecure-policy", "copy")
    wrong = ran(
        *skopeo,
        "--dest-tls-verify=false",
        "--dest-creds",
        "owner:wrong",
        layout,
        f"docker://{host}/blue/hello:1",
    )
    assert wrong.returncode != 0
    assert b"unauthorized" in wrong.stderr.lower()
    pushed = ran(
        *skopeo,
        "--dest-tls-verify=false",
        "--dest-creds",
        credentials,
        layout,
        f"docker://{host}/blue/hello:1",
    )
    assert pushed.returncode == 0, pushed.stderr
    assert Build.objects.get().description == "image 1"
    back = f"oci:{tmp_path / 'back'}:image"
    pulled = ran(
        *skopeo,
        "--src-tls-verify=false",
        "--src-creds",
        credentials,
        f"docker://{host}/blue/hello:1",
        back,
    )
    assert pulled.returncode == 0, pulled.stderr
    (entry,) = json.loads((tmp_path / "back" / "index.json").read_bytes())["manifests"]
    assert entry["digest"] == f"sha256:{Build.objects.get().source.digest}"
    if shutil.which("podman") is None:
        pytest.skip("podman is not installed: apt-get install podman")
    access = ("--tls-verify=false", "--creds", credentials)
    with podman() as pod:
        pod.podman("pull", *access, f"{host}/blue/hello:1")
        pod.podman("push", *access, f"{host}/blue/hello:1", f"{host}/blue/hello:2")
    assert Build.objects.count() == 2
    assert tags_of(app) == ["1", "2"]
