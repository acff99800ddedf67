"""Tests of garbage collection in real stores, with builds at the same time and with kill -9."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from runtime import journal
from runtime.errors import BuildFailed, ImageDamaged
from runtime.images.collect import Roots
from runtime.images.digest import Digest
from runtime.images.disk import check_room
from runtime.images.manifest import ImageConfig
from runtime.images.removal import GarbageCollector
from runtime.images.store import Store
from tests.runtime.images.conftest import Yard


def collector(yard: Yard) -> GarbageCollector:
    return GarbageCollector(yard.config, yard.store, grace=0.0)


def settle() -> None:
    """Wait, because the kernel's clock for files ticks in milliseconds.

    Later files then have a later time.
    """
    time.sleep(0.02)


def test_a_collection_leaves_a_valid_store_with_exactly_what_is_needed(
    yard: Yard, loaded: Callable[[str], bool]
) -> None:
    base = yard.layer("base")
    old, new, own = (
        yard.image(base, yard.layer(text), name=name)
        for text, name in (("1", "shop:v1"), ("2", "shop:v2"), ("3", "mine"))
    )
    (yard.config.layers / "notes.txt").write_text("not ours")
    (yard.config.images / "blobs" / "sha256" / "README").write_text("not ours")
    settle()
    done = collector(yard).collect(
        lambda: Roots(images=frozenset({new}), names=frozenset({"shop:v2"}))
    )
    assert done is not None
    assert (done.images, done.layers, done.blobs) == (1, 1, 2)
    assert done.freed > 0
    assert yard.store.verify() == []
    assert loaded(new)
    assert loaded(own)
    assert yard.store.find("shop:v1") is None
    with pytest.raises(ImageDamaged):
        yard.store.image(old)
    assert (yard.config.layers / "notes.txt").exists()
    assert (yard.config.images / "blobs" / "sha256" / "README").exists()
    assert not any((yard.config.layers / "ingest").iterdir())
    again = collector(yard).collect(
        lambda: Roots(images=frozenset({new}), names=frozenset({"shop:v2"}))
    )
    assert again is not None
    assert (again.images, again.layers, again.blobs, again.freed) == (0, 0, 0, 0)


def test_an_image_of_a_release_survives_a_lost_index(
    yard: Yard, loaded: Callable[[str], bool]
) -> None:
    image = yard.image(yard.layer("1"), name="shop:v1")
    (yard.config.images / "index.json").unlink()
    settle()
    collector(yard).collect(lambda: Roots(images=frozenset({image})))
    assert loaded(image)


def test_a_layer_that_a_running_build_found_is_not_collected(
    yard: Yard, loaded: Callable[[str], bool]
) -> None:
    base = yard.layer("base")
    settle()
    with yard.store.lease():
        assert yard.store.layer(base.diff_id) == base
        settle()
        collector(yard).collect(Roots)
        image = yard.image(base, yard.layer("code"))
        settle()
        collector(yard).collect(Roots)
        assert loaded(image)
    settle()
    collector(yard).collect(Roots)
    assert yard.store.layer(base.diff_id) is None
    with pytest.raises(ImageDamaged, match="is not in the store"):
        yard.store.write_image([base], ImageConfig())


def test_concurrent_builds_and_collections_never_lose_an_image(
    yard: Yard, loaded: Callable[[str], bool]
) -> None:
    released: list[str] = []
    over = threading.Event()
    wrong: list[str] = []

    def collect() -> None:
        while not over.is_set():
            collector(yard).collect(lambda: Roots(images=frozenset(released[-3:])))
            time.sleep(0.005)

    def check(number: int) -> None:
        base = yard.layer(f"base{number % 3}") if (number % 2) else None
        for turn in range(2):
            with yard.store.lease():
                layers = (
                    [yard.layer("shared")]
                    if base is None
                    else [yard.store.layer(base.diff_id) or yard.layer(f"base{number % 3}")]
                )
                image = yard.image(*layers, yard.layer(f"code{number}-{turn}"))
                released.append(image)
            if not loaded(image):
                wrong.append(image)

    thread = threading.Thread(target=collect)
    thread.start()
    try:
        for number in range(20):
            check(number)
    finally:
        over.set()
        thread.join()
    assert wrong == []
    assert yard.store.verify() == []
    assert all(loaded(image) for image in released[-3:])


def test_an_image_named_after_the_decision_stays_complete(
    yard: Yard, loaded: Callable[[str], bool]
) -> None:
    image = yard.image(yard.layer("1"))
    settle()
    garbage_collector, decided_at = collector(yard), yard.store.uses.since()
    decided, _ = garbage_collector.preview(Roots)
    assert decided.images == (image,)
    settle()
    yard.store.tag("mine", image)
    assert not garbage_collector._forget_images(decided, decided_at)
    garbage_collector.collect(Roots)
    assert loaded(image)


def test_above_the_high_limit_the_cache_is_removed_and_releases_stay(
    yard: Yard, loaded: Callable[[str], bool]
) -> None:
    release, spare = yard.image(yard.layer("1")), yard.layer("spare")
    steps = yard.config.cache / "steps"
    steps.mkdir(parents=True)
    journal.write_json(steps / f"{'a' * 64}.json", {"diff_id": spare.diff_id})
    settle()
    roots = Roots(images=frozenset({release}))
    collector(yard).collect(lambda: roots)
    assert yard.store.layer(spare.diff_id) == spare
    settle()
    full = replace(yard.config, disk_high=1, disk_low=1)
    GarbageCollector(full, Store(full), grace=0.0).collect(lambda: roots)
    assert yard.store.layer(spare.diff_id) is None
    assert not any(steps.iterdir())
    assert loaded(release)


def test_above_the_last_limit_no_build_starts_and_the_error_says_why(yard: Yard) -> None:
    check_room(yard.config)
    with pytest.raises(
        BuildFailed, match=r"at 1 % or more no build and no further step starts. Running apps are"
    ) as refused:
        check_room(replace(yard.config, disk_full=1))
    assert "image df" in refused.value.hint


def test_deploy_500_uses_as_much_disk_as_deploy_20(
    yard: Yard, loaded: Callable[[str], bool]
) -> None:
    base = yard.layer("base" * 1000)
    images: list[Digest] = []
    disk: dict[int, int] = {}
    for number in range(1, 501):
        with yard.store.lease():
            images.append(yard.image(base, yard.layer(f"code {number:03}"), name=f"shop:v{number}"))
        if number % 10 == 0:
            settle()
            kept = Roots(
                images=frozenset(images[-10:]),
                names=frozenset(f"shop:v{version}" for version in range(number - 9, number + 1)),
            )
            collector(yard).collect(lambda kept=kept: kept)
            disk[number] = yard.disk()
    assert disk[500] <= disk[20] * 1.02, disk  # the names get longer by one digit
    assert all(loaded(image) for image in images[-10:])
    assert yard.store.verify() == []


@pytest.mark.slow
def test_a_collector_killed_at_any_moment_leaves_a_valid_store(
    yard: Yard, loaded: Callable[[str], bool]
) -> None:
    program = f"""
from pathlib import Path
from runtime.config import NodeConfig
from runtime.images.collect import Roots
from runtime.images.removal import GarbageCollector
from runtime.images.store import Store
import sys
config = NodeConfig(name="tstore", state=Path({str(yard.config.state)!r}), disk_high=100)
collector = GarbageCollector(config, Store(config), grace=0.0)
print("ready", flush=True)
sys.stdin.readline()
collector.collect(lambda: Roots(images=frozenset(sys.argv[1:])))
"""
    base, kept = yard.layer("base"), []
    for turn in range(12):
        images = [
            yard.image(base, yard.layer(f"{turn}-{number}"), name=f"shop:v{turn * 25 + number}")
            for number in range(25)
        ]
        kept = [*kept[-3:], images[0]]
        settle()
        child = subprocess.Popen(
            [sys.executable, "-c", program, *kept], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        assert child.stdin is not None
        child.stdout.readline()
        child.stdin.write(b"go\n")
        child.stdin.flush()
        time.sleep(int.from_bytes(os.urandom(1)) / 255 * 0.03)
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert yard.store.verify() == []
        assert all(loaded(image) for image in kept)
    collector(yard).collect(lambda: Roots(images=frozenset(kept)))
    assert yard.store.verify() == []
    assert len(list(yard.config.layers.glob("*.json"))) == 1 + len(kept)
    assert not any((yard.config.layers / "ingest").iterdir())


def test_a_damaged_record_does_not_stop_a_collection(
    yard: Yard, loaded: Callable[[str], bool]
) -> None:
    image, gone = yard.image(yard.layer("1")), yard.layer("2")
    (yard.config.layers / f"{gone.diff_id.hex}.json").write_text("{half a")
    steps = yard.config.cache / "steps"
    steps.mkdir(parents=True)
    (steps / f"{'a' * 64}.json").write_text("[]")
    settle()
    collector(yard).collect(lambda: Roots(images=frozenset({image})))
    assert loaded(image)
    assert yard.store.verify() == []
