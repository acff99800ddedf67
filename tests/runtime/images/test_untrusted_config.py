"""Tests of images whose documents have values of other types: each is refused with a sentence."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from runtime.errors import ImageDamaged
from runtime.images.digest import Digest
from runtime.images.exchange.verified_import import import_verified
from runtime.images.manifest import Descriptor, ImageConfig, parse_config, render_config
from runtime.images.untrusted_config import check_config, parse_untrusted
from tests.runtime.images.conftest import Yard

DIFF_ID = f"sha256:{'0' * 64}"


def configuration(change: dict[str, object]) -> bytes:
    document = {"rootfs": {"type": "layers", "diff_ids": [DIFF_ID]}, "config": {}, **change}
    return json.dumps(document).encode()


SETTINGS = {
    "User is not a string": {"User": 5},
    "WorkingDir is not a string": {"WorkingDir": "/a\0b"},
    "StopSignal is not a string": {"StopSignal": 9},
    "Labels is not an object of strings": {"Labels": ["a=b"]},
    "Env is not a list of strings": {"Env": ["A=b", 5]},
    "Env is not a list of NAME=VALUE": {"Env": ["A"]},
    "Cmd is not a list of strings": {"Cmd": "run"},
    "Entrypoint is not a list of strings": {"Entrypoint": [["run"]]},
    "OnBuild is not a list of strings": {"OnBuild": {"RUN": "x"}},
    "ExposedPorts is not an object": {"ExposedPorts": ["80/tcp"]},
    "Volumes is not an object": {"Volumes": "/data"},
    "Healthcheck is not an object": {"Healthcheck": "true"},
    "Healthcheck Test is not a list of strings": {"Healthcheck": {"Test": "true"}},
    "Healthcheck Interval is not a number": {"Healthcheck": {"Interval": "5s"}},
    "Healthcheck Retries is not a number": {"Healthcheck": {"Retries": -1}},
}
DOCUMENTS = {
    "it is nested too deeply": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "it has a number of more than 64 bits": b'{"a": 9223372036854775808}',
    "it has the name 'os' twice": b'{"os": "linux", "os": "plan9"}',
    "it is not a JSON object": b"[]",
    "it is not UTF-8": b'{"a": "\xff"}',
    "architecture is not a string": configuration({"architecture": 1}),
    "author is not a string": configuration({"author": "\ud800"}),
    "history is not a list of objects": configuration({"history": ["RUN x"]}),
    "history empty_layer is not true or false": configuration({"history": [{"empty_layer": "x"}]}),
    "rootfs is not an object": configuration({"rootfs": [DIFF_ID]}),
    "rootfs diff_ids is not a list of strings": configuration({"rootfs": {"diff_ids": [5]}}),
    **{sentence: configuration({"config": settings}) for sentence, settings in SETTINGS.items()},
    "config is not an object": configuration({"config": ["x"]}),
}


@pytest.mark.parametrize(("sentence", "data"), DOCUMENTS.items(), ids=DOCUMENTS)
def test_an_image_with_an_odd_configuration_is_refused_with_its_reason(
    yard: Yard, tmp_path: Path, sentence: str, data: bytes
) -> None:
    with pytest.raises(ImageDamaged, match=sentence) as refused:
        import_verified(yard.store, tmp_path, written(tmp_path, data))
    assert refused.value.hint
    assert "\n" not in refused.value.what


@pytest.mark.parametrize(
    "manifest", [b'{"a":' * 10_000, b'{"a": 1, "a": 2}', b"[]", b'{"config": 5}']
)
def test_an_odd_manifest_is_refused(yard: Yard, tmp_path: Path, manifest: bytes) -> None:
    with pytest.raises(ImageDamaged, match="are not an image"):
        import_verified(yard.store, tmp_path, put(tmp_path, manifest))


def test_missing_and_null_fields_are_accepted() -> None:
    names = ("User", "Env", "Cmd", "Entrypoint", "Labels", "ExposedPorts", "Volumes", "Healthcheck")
    for settings in ({}, dict.fromkeys(names)):
        data = configuration({"config": settings, "history": None, "author": None})
        check_config(parse_untrusted(data))
        assert parse_config(data)[0].user == "0:0"


def test_our_own_configuration_is_accepted() -> None:
    config = ImageConfig(environment={"A": "b=c"}, labels={"a": "b"}, exposed_ports=("80/tcp",))
    data = render_config(config, [Digest(DIFF_ID)], machine="x86_64")
    check_config(parse_untrusted(data))


def written(folder: Path, config: bytes) -> Descriptor:
    """Write an image without layers and with a configuration. Return its manifest."""
    part = put(folder, config)
    document = {"schemaVersion": 2, "config": part.document(), "layers": []}
    return put(folder, json.dumps(document).encode())


def put(folder: Path, data: bytes) -> Descriptor:
    digest = Digest(f"sha256:{hashlib.sha256(data).hexdigest()}")
    (folder / digest.hex).write_bytes(data)
    return Descriptor(media_type="application/json", digest=digest, size=len(data))
