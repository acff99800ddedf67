"""The images of the sample portal: their layers, and the facts that a worker reports. There are
rows only, and no layers on disk."""

from __future__ import annotations

import hashlib

from portal.images import actions as image_actions
from portal.images.actions import write_facts
from portal.images.facts import Config, LayerFacts
from portal.images.models import ImageJob

MIB = 2**20


_BASES = {  # the command that created a layer, and its compressed size
    "debian": ("debian-13", 41 * MIB),
    "python": ("python-3.13", 14 * MIB),
    "node": ("node-22", 38 * MIB),
}
_STACKS = {  # the base layers of an app's image, bottom first
    "shop": (
        "debian",
        "python",
        (
            "Dependencies: uv pip install --no-deps -r requirements.txt, for requirements.txt",
            23 * MIB,
        ),
    ),
    "docs-site": ("debian", "python"),
    "chat": (
        "debian",
        "node",
        ("Dependencies: npm ci --omit=dev, for package.json and package-lock.json", 6 * MIB),
    ),
    "ticker": (
        "debian",
        "node",
        ("RUN apt-get update && apt-get install -y --no-install-recommends imagemagick", 110 * MIB),
    ),
}


def image(app: str, number: int) -> str:
    """Return the digest of an image with reported facts: the app's layers, and different code for
    each number."""
    layers = [
        _layer(*(_BASES[entry] if isinstance(entry, str) else entry))
        for entry in _STACKS.get(app, ("debian",))
    ]
    digest = _digest(f"image {app} {number}")
    config = Config(
        environment={"PATH": "/opt/venv/bin:/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"},
        working_directory="/app",
        user="1000:1000",
        entrypoint=[],
        command=["/bin/sh", "-c", "gunicorn shop.wsgi"],
        labels={"slipway.language": "Python"},
        exposed_ports=[],
        volumes=[],
        stop_signal="",
    )
    write_facts(
        digest, [*layers, _layer("App code", 38_000 + 211 * number, salt=f"{app} {number}")], config
    )
    return digest


def _layer(created_by: str, size: int, *, salt: str = "") -> LayerFacts:
    name = _digest(f"layer {created_by} {salt}")
    return LayerFacts(
        diff_id=name, digest=name, size=size, unpacked=int(size * 2.9), created_by=created_by
    )


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def answer(job: ImageJob, result: dict[str, object]) -> None:
    """Finish a job like a worker."""
    assert image_actions.begin(job)
    assert image_actions.finish(job, result)


CHANGES = {
    "changes": [
        ["C", "/app/shop/checkout.py", 4211],
        ["A", "/app/shop/payments/__init__.py", 0],
        ["A", "/app/shop/payments/gateway.py", 9120],
        ["D", "/app/shop/legacy.py", 0],
        ["A", "/opt/venv/lib/python3.13/site-packages/stripe/__init__.py", 18_233],
    ],
    "packages": [["Python", "stripe", "", "12.1"], ["Debian", "libssl3", "3.0.16", "3.0.17"]],
    "texts": [
        {
            "path": "/app/shop/checkout.py",
            "lines": ["@@ -1,2 +1,2 @@", " import cart", "-import legacy", "+import payments"],
            "is_cut": False,
        }
    ],
    "texts_left_out": 0,
    "added": 3,
    "changed": 1,
    "deleted": 1,
    "bytes": 31_564,
    "whole": True,
}
