"""Tests of garbage collection: decisions on plain values, then real stores with builds at the same
time and with kill -9.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import journal
from runtime.errors import BuildFailed, ImageDamaged
from runtime.images.collect import STACK_KEPT, STEP_KEPT, Roots, decide, is_of_platform
from runtime.images.digest import Digest
from runtime.images.disk import check_room
from runtime.images.inventory import BlobFacts, CacheEntry, ImageFacts, Inventory, LayerFacts, PullNote
from runtime.images.manifest import ImageConfig
from runtime.images.removal import GarbageCollector
from runtime.images.store import Store
from tests.runtime.images.conftest import Yard

NOW = 1_000_000_000.0


def digest(number: int) -> Digest:
    return Digest.of(str(number).encode())


def inventory(
    images: dict[int, tuple[tuple[str, ...], tuple[int, ...]]], notes: dict[int, float] | None = None, used: float = 0.0
) -> Inventory:
    """Return an inventory of images, given as number -> (names, layers).

    Layer n has the diff ID n and the blob 1000 + n. `notes` maps a layer to its last use.
    """
    layers = {n for _, of in images.values() for n in of} | set(notes or {})
    blobs = [*(1000 + n for n in layers), *images]
    return Inventory(
        images={
            digest(n): ImageFacts(
                digest=digest(n),
                names=names,
                blobs=frozenset({digest(n), *(digest(1000 + layer) for layer in of)}),
                diff_ids=tuple(digest(layer) for layer in of),
                used_at=used,
            )
            for n, (names, of) in images.items()
        },
        layers={digest(n): LayerFacts(diff_id=digest(n), digest=digest(1000 + n), size=10, unpacked=90, used_at=used) for n in layers},
        blobs={digest(n): BlobFacts(digest=digest(n), size=10, used_at=used) for n in blobs},
        cache=tuple(CacheEntry(path=Path(f"/{n}"), diff_id=digest(n), stack=False, used_at=at) for n, at in (notes or {}).items()),
    )


def test_images_of_releases_names_and_containers_stay_and_others_go() -> None:
    seen = inventory(
        {1: (("shop:v1",), (11, 12)), 2: (("shop:v2", "shop:build-2"), (11, 13)), 3: (("mine",), (14,)), 4: ((), (15,)), 5: ((), (16,))}
    )
    roots = Roots(images=frozenset({digest(2)}), names=frozenset({"shop:v2"}), layers=frozenset({digest(15)}))
    garbage = decide(seen, roots, now=NOW, cutoff=NOW, cache_size=0)
    assert set(garbage.images) == {digest(1), digest(4), digest(5)}
    assert garbage.names == ("shop:build-2",)
    assert set(garbage.layers) == {digest(12), digest(16)}
    assert set(garbage.blobs) == {digest(1), digest(4), digest(5), digest(1012), digest(1016)}
    assert garbage.describe() == "remove 3 images, 1 name, 2 layers, 5 blobs and 0 records of the build cache"


def test_everything_used_since_the_oldest_lease_stays() -> None:
    garbage = decide(inventory({1: (("shop:v1",), (11,))}, used=NOW), Roots(), now=NOW, cutoff=NOW - 5, cache_size=0)
    assert not any((garbage.images, garbage.names, garbage.layers, garbage.blobs))


def test_the_cache_keeps_recent_entries_within_its_size() -> None:
    notes = {1: NOW - 10, 2: NOW - 20, 3: NOW - 30, 4: NOW - STEP_KEPT - 1}
    garbage = decide(inventory({}, notes), Roots(), now=NOW, cutoff=NOW, cache_size=250)
    assert garbage.cache == (Path("/3"), Path("/4"))
    assert set(garbage.layers) == {digest(3), digest(4)}


def test_pulled_images_stay_by_last_use_within_the_cache_size() -> None:
    # Each layer has a size of 100.
    seen = inventory({1: ((), (11, 12)), 2: ((), (11, 13)), 3: ((), (14,)), 4: ((), (15,))})
    used = {1: NOW - 10, 2: NOW - 20, 3: NOW - 30, 4: NOW - STEP_KEPT - 1, 9: NOW - 5}
    pulls = tuple(PullNote(path=Path(f"/{n}"), image=digest(n), used_at=at) for n, at in used.items())
    garbage = decide(replace(seen, pulls=pulls), Roots(), now=NOW, cutoff=NOW, cache_size=300)
    assert set(garbage.images) == {digest(3), digest(4)}
    assert garbage.cache == (Path("/3"), Path("/4"), Path("/9"))
    assert set(garbage.layers) == {digest(14), digest(15)}
    assert decide(replace(seen, pulls=pulls), Roots(), now=NOW, cutoff=NOW - 15, cache_size=0).cache == tuple(
        Path(f"/{n}") for n in (2, 3, 4, 9)
    )


@pytest.mark.parametrize(("age", "stays"), [(10.0, True), (STACK_KEPT + 1, False)])
def test_the_image_of_a_stack_stays_as_long_as_its_layer_is_used(age: float, stays: bool) -> None:
    seen = inventory({1: (("stack/debian-13",), (11,)), 2: (("mine",), (12,))})
    note = CacheEntry(path=Path("/s"), diff_id=digest(11), stack=True, used_at=NOW - age)
    garbage = decide(replace(seen, cache=(note,)), Roots(), now=NOW, cutoff=NOW, cache_size=0)
    assert garbage.images == (() if stays else (digest(1),))
    assert garbage.layers == (() if stays else (digest(11),))


def test_names_of_the_platform_differ_from_those_of_users() -> None:
    assert is_of_platform("shop:v12")
    assert is_of_platform("my-shop:build-7")
    assert not is_of_platform("shop:stable")
    assert not is_of_platform("stack/debian-13")


@given(
    images=st.dictionaries(
        st.integers(0, 9),
        st.tuples(st.sampled_from([(), ("a:v1",), ("b",)]), st.lists(st.integers(10, 19), max_size=4).map(tuple)),
        max_size=8,
    ),
    notes=st.dictionaries(st.integers(10, 25), st.floats(NOW - 2 * STEP_KEPT, NOW), max_size=8),
    roots=st.frozensets(st.integers(0, 9), max_size=4),
    size=st.integers(0, 1000),
)
@settings(max_examples=200, deadline=None)
def test_no_kept_image_loses_a_part_and_everything_kept_has_a_reason(images, notes, roots, size) -> None:
    seen = inventory(images, notes)
    garbage = decide(seen, Roots(images=frozenset(digest(n) for n in roots)), now=NOW, cutoff=NOW, cache_size=size)
    kept = [image for key, image in seen.images.items() if key not in garbage.images]
    for image in kept:
        assert not image.blobs & set(garbage.blobs)
        assert not set(image.diff_ids) & set(garbage.layers)
        assert image.digest in {digest(n) for n in roots} or image.names == ("b",)
    noted = {entry.diff_id for entry in seen.cache if entry.path not in garbage.cache}
    assert not noted & set(garbage.layers)
    needed = noted | {diff_id for image in kept for diff_id in image.diff_ids}
    assert seen.layers.keys() - set(garbage.layers) == needed


def collector(yard: Yard) -> GarbageCollector:
    return GarbageCollector(yard.config, yard.store, grace=0.0)


def settle() -> None:
    """Wait, because the kernel's clock for files ticks in milliseconds.

    Later files then have a later time.
    """
    time.sleep(0.02)


def test_a_collection_leaves_a_valid_store_with_exactly_what_is_needed(yard: Yard, loaded: Callable[[str], bool]) -> None:
    base = yard.layer("base")
    old, new, own = (yard.image(base, yard.layer(text), name=name) for text, name in (("1", "shop:v1"), ("2", "shop:v2"), ("3", "mine")))
    (yard.config.layers / "notes.txt").write_text("not ours")
    (yard.config.images / "blobs" / "sha256" / "README").write_text("not ours")
    settle()
    done = collector(yard).collect(lambda: Roots(images=frozenset({new}), names=frozenset({"shop:v2"})))
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
    again = collector(yard).collect(lambda: Roots(images=frozenset({new}), names=frozenset({"shop:v2"})))
    assert again is not None
    assert (again.images, again.layers, again.blobs, again.freed) == (0, 0, 0, 0)


def test_an_image_of_a_release_survives_a_lost_index(yard: Yard, loaded: Callable[[str], bool]) -> None:
    image = yard.image(yard.layer("1"), name="shop:v1")
    (yard.config.images / "index.json").unlink()
    settle()
    collector(yard).collect(lambda: Roots(images=frozenset({image})))
    assert loaded(image)


def test_a_layer_that_a_running_build_found_is_not_collected(yard: Yard, loaded: Callable[[str], bool]) -> None:
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


def test_concurrent_builds_and_collections_never_lose_an_image(yard: Yard, loaded: Callable[[str], bool]) -> None:
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
                layers = [yard.layer("shared")] if base is None else [yard.store.layer(base.diff_id) or yard.layer(f"base{number % 3}")]
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


def test_an_image_named_after_the_decision_stays_complete(yard: Yard, loaded: Callable[[str], bool]) -> None:
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


def test_above_the_high_limit_the_cache_is_removed_and_releases_stay(yard: Yard, loaded: Callable[[str], bool]) -> None:
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
    with pytest.raises(BuildFailed, match=r"builds do not start at 1 % or more. Running apps are not affected") as refused:
        check_room(replace(yard.config, disk_full=1))
    assert "image df" in refused.value.hint


def test_deploy_500_uses_as_much_disk_as_deploy_20(yard: Yard, loaded: Callable[[str], bool]) -> None:
    base = yard.layer("base" * 1000)
    images: list[Digest] = []
    disk: dict[int, int] = {}
    for number in range(1, 501):
        with yard.store.lease():
            images.append(yard.image(base, yard.layer(f"code {number:03}"), name=f"shop:v{number}"))
        if number % 10 == 0:
            settle()
            kept = Roots(images=frozenset(images[-10:]), names=frozenset(f"shop:v{version}" for version in range(number - 9, number + 1)))
            collector(yard).collect(lambda kept=kept: kept)
            disk[number] = yard.disk()
    assert disk[500] <= disk[20] * 1.02, disk  # the names get longer by one digit
    assert all(loaded(image) for image in images[-10:])
    assert yard.store.verify() == []


@pytest.mark.slow
def test_a_collector_killed_at_any_moment_leaves_a_valid_store(yard: Yard, loaded: Callable[[str], bool]) -> None:
    program = f"""
from pathlib import Path
from runtime.config import NodeConfig
from runtime.images.collect import Roots
from runtime.images.removal import Collector
from runtime.images.store import Store
import sys
config = NodeConfig(name="tstore", state=Path({str(yard.config.state)!r}), disk_high=100)
collector = Collector(config, Store(config), grace=0.0)
print("ready", flush=True)
sys.stdin.readline()
collector.collect(lambda: Roots(images=frozenset(sys.argv[1:])))
"""
    base, kept = yard.layer("base"), []
    for turn in range(12):
        images = [yard.image(base, yard.layer(f"{turn}-{number}"), name=f"shop:v{turn * 25 + number}") for number in range(25)]
        kept = [*kept[-3:], images[0]]
        settle()
        child = subprocess.Popen([sys.executable, "-c", program, *kept], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
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


def test_a_damaged_record_does_not_stop_a_collection(yard: Yard, loaded: Callable[[str], bool]) -> None:
    image, gone = yard.image(yard.layer("1")), yard.layer("2")
    (yard.config.layers / f"{gone.diff_id.hex}.json").write_text("{half a")
    steps = yard.config.cache / "steps"
    steps.mkdir(parents=True)
    (steps / f"{'a' * 64}.json").write_text("[]")
    settle()
    collector(yard).collect(lambda: Roots(images=frozenset({image})))
    assert loaded(image)
    assert yard.store.verify() == []
