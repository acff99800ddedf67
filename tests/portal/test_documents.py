"""Parsing of tenants' data needs little memory: JSON that is deep, wide or full of digits, and logs
without line ends."""

import json
import time
import tracemalloc
from pathlib import Path

import pytest

from portal.documents import parse_json
from portal.errors import RegistryRefused, SourceRefused
from portal.gitserver.objects import Census, subject_of
from portal.logs.logfile import tail
from portal.registry import manifests
from tests.portal.conftest import People

MIB = 2**20
BOMBS = {
    "wide": b"[" + b"[]," * (MIB - 10) + b"[]]",
    "objects": b"[" + b"{}," * (MIB - 10) + b"{}]",
    "deep": b"[" * (2 * MIB) + b"]" * (2 * MIB),
    "deep objects": b'{"a":' * 99_000 + b"1" + b"}" * 99_000,
    "digits": b"9" * (4 * MIB),
    "no text": b"\xff\xfe" * MIB,
    "a name twice": b'{"schemaVersion": 2, "os": "linux", "os": "plan9"}',
}


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS.keys())
def test_a_document_that_would_need_much_memory_is_refused_quickly(data: bytes) -> None:
    tracemalloc.start()
    begun = time.process_time()
    with pytest.raises(ValueError, match=r"."):
        parse_json(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"{len(data):,} bytes: {peak / MIB:.1f} MiB, {time.process_time() - begun:.2f} s")
    assert peak < 32 * MIB


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS.keys())
def test_a_manifest_or_configuration_of_that_kind_is_refused(data: bytes) -> None:
    with pytest.raises(RegistryRefused, match="cannot be parsed"):
        manifests.parse(data)
    with pytest.raises(RegistryRefused, match="cannot be parsed"):
        manifests.check_machine(data, "amd64")


ODD = (
    {"mediaType": 5},
    {"mediaType": "\ud800"},
    {"artifactType": "\ud800"},
    {"artifactType": "a\0b"},
    {"annotations": [["a", "b"]]},
    {"annotations": {"a": "\ud800"}},
    {"layers": 5},
    {"layers": [{"mediaType": "\ud800", "digest": f"sha256:{'0' * 64}", "size": 1}]},
    {"layers": [{"mediaType": "a", "digest": f"sha256:{'0' * 64}", "size": 2**64}]},
    {"config": []},
    {"subject": [1]},
)


@pytest.mark.parametrize("change", ODD, ids=str)
def test_a_manifest_with_values_of_another_type_is_refused(change: dict[str, object]) -> None:
    config = {"mediaType": "a", "digest": f"sha256:{'0' * 64}", "size": 1}
    document = {"schemaVersion": 2, "config": config, "layers": [], **change}
    with pytest.raises(RegistryRefused, match="The manifest was refused"):
        manifests.parse(json.dumps(document).encode())


def test_the_api_refuses_a_document_of_that_kind(client, people: People) -> None:  # type: ignore[no-untyped-def]
    answer = client.post(
        "/api/v1/apps",
        BOMBS["wide"][: MIB - 3] + b"[]]",
        content_type="application/json",
        headers={"Authorization": f"Bearer {people.token(people.owner)}"},
    )
    assert answer.status_code == 400, answer.content


def test_only_a_part_of_a_log_without_line_ends_is_read(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    with log.open("wb") as file:
        file.write(b"2026-01-01T00:00:00.000Z web.1 stdout first\n")
        for _ in range(100):
            file.write(b"x" * MIB)
        file.write(b"\n2026-01-01T00:00:00.000Z web.1 stdout last\n")
    begun = time.process_time()
    lines = tail(log, 100)
    assert lines[-1].text == "last"
    assert sum(len(line.text) for line in lines) <= 5 * MIB
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    ("commit", "subject"),
    [
        (b"tree 1\nauthor A\n\nSay hello\n\nand more\n", "Say hello"),
        (b"tree 1\n\nTwo\nlines\n", "Two lines"),
        (b"tree 1\n\n\x1b[31mred\x07\n", "[31mred"),
        (b"tree 1\nencoding ISO-8859-1\n\nGr\xfc\xdfe\n", "Grüße"),
        (b"tree 1\nencoding rot13\n\nplain\n", "plain"),
        (b"tree 1\nencoding ISO-8859-1", ""),
        (b"", ""),
        (b"tree 1\n\n" + b"y" * 1000, "y" * 200),
        ("tree 1\n\n\u202egnp.exe\n".encode(), "gnp.exe"),
    ],
)
def test_a_subject_is_one_printable_line(commit: bytes, subject: str) -> None:
    assert subject_of(commit) == subject


def test_a_malformed_listing_is_refused() -> None:
    for record in (b"", b"100644 blob", b"100644 blob abc -1\tx", b"\xff" * 100):
        with pytest.raises(SourceRefused):
            Census(most_bytes=1).add(record)
