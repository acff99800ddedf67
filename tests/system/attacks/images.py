"""Images with false digests, diff IDs, sizes, media types or machine types."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import time
from typing import Any

from tests.portal.images import CONFIG, LAYER, MACHINE, MANIFEST, config, digest_of, part
from tests.system.attacks.attack import Attack
from tests.system.attacks.range import TARGET, Range

OTHER = {"amd64": "arm64", "arm64": "amd64"}.get(MACHINE, "riscv64")


def true_layer() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        info = tarfile.TarInfo("run")
        info.size, info.mode = 3, 0o755
        tar.addfile(info, io.BytesIO(b"x\n\n"))
    return packed.getvalue()


def push(
    place: Range,
    packed: bytes,
    *,
    diff_id: str,
    machine: str = MACHINE,
    claims: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Push an image of one layer.

    `claims` changes the manifest's entry of that layer. Return the build, or the reason of the
    refusal.
    """
    client = place.registry()
    configuration = config(machine, rootfs={"type": "layers", "diff_ids": [diff_id]})
    client.push(packed, configuration)
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": part(configuration, CONFIG),
        "layers": [{**part(packed), **(claims or {})}],
    }
    known = {int(build["id"]) for build in place.api.get(f"/apps/{TARGET}/builds")}
    answer = client.put("attack", json.dumps(document).encode())
    if not answer.is_success:
        return {"state": "refused", "reason": answer.text}

    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        begun = [
            int(build["id"])
            for build in place.api.get(f"/apps/{TARGET}/builds")
            if int(build["id"]) not in known
        ]
        if begun:
            return place.api.built(TARGET, begun[0], within=300)
        time.sleep(0.2)
    return {"state": "refused", "reason": "it was kept as an artifact that nothing runs"}


def lie(name: str, **changes: Any) -> Attack:
    def act(place: Range) -> str:
        data = true_layer()
        packed = gzip.compress(data, 1)
        build = push(place, packed, **{"diff_id": digest_of(data), **changes})
        assert build["state"] in {"failed", "refused"}, build
        assert build["reason"], "the refusal has no reason"
        return "refused with the reason"

    return Attack(
        kind="lying images",
        name=name,
        holds="every digest, size and diff ID is computed again",
        act=act,
        in_suite="diff ID" in name,
    )


def lie_about_upload(place: Range) -> str:
    """Upload a blob whose content does not have its digest."""
    client = place.registry()
    answer = client.http.put(
        client.begin(), params={"digest": digest_of(b"something else")}, content=b"not that"
    )
    assert answer.status_code == 400, answer.text
    return "refused with the reason"


ATTACKS = (
    Attack(
        kind="lying images",
        name="a blob with another digest",
        holds="the portal computes it",
        act=lie_about_upload,
    ),
    lie("a layer's digest that nobody pushed", claims={"digest": digest_of(b"another")}),
    lie("a wrong diff ID", diff_id=digest_of(b"another")),
    lie("a smaller size", claims={"size": 10}),
    lie("a larger size", claims={"size": 1 << 40}),
    lie("a negative size", claims={"size": -1}),
    lie("a layer that is not a tar", claims={"mediaType": "application/json"}),
    lie(
        "a foreign layer with an address",
        claims={
            "mediaType": LAYER.replace("layer", "layer.nondistributable"),
            "urls": ["http://127.0.0.1/"],
        },
    ),
    lie("another machine's image", machine=OTHER),
)
