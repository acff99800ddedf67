"""Tests of the decisions of garbage collection, on plain values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.images.collect import STACK_KEPT, STEP_KEPT, Roots, decide, is_of_platform
from runtime.images.digest import Digest
from runtime.images.inventory import (
    BlobFacts,
    CacheEntry,
    ImageFacts,
    Inventory,
    LayerFacts,
    PullNote,
)

NOW = 1_000_000_000.0


def digest(number: int) -> Digest:
    return Digest.of(str(number).encode())


def inventory(
    images: dict[int, tuple[tuple[str, ...], tuple[int, ...]]],
    notes: dict[int, float] | None = None,
    used: float = 0.0,
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
        layers={
            digest(n): LayerFacts(
                diff_id=digest(n), digest=digest(1000 + n), size=10, unpacked=90, used_at=used
            )
            for n in layers
        },
        blobs={digest(n): BlobFacts(digest=digest(n), size=10, used_at=used) for n in blobs},
        cache=tuple(
            CacheEntry(path=Path(f"/{n}"), diff_id=digest(n), stack=False, used_at=at)
            for n, at in (notes or {}).items()
        ),
    )


def test_images_of_releases_names_and_containers_stay_and_others_go() -> None:
    seen = inventory(
        {
            1: (("shop:v1",), (11, 12)),
            2: (("shop:v2", "shop:build-2"), (11, 13)),
            3: (("mine",), (14,)),
            4: ((), (15,)),
            5: ((), (16,)),
        }
    )
    roots = Roots(
        images=frozenset({digest(2)}), names=frozenset({"shop:v2"}), layers=frozenset({digest(15)})
    )
    garbage = decide(seen, roots, now=NOW, cutoff=NOW, cache_size=0)
    assert set(garbage.images) == {digest(1), digest(4), digest(5)}
    assert garbage.names == ("shop:build-2",)
    assert set(garbage.layers) == {digest(12), digest(16)}
    assert set(garbage.blobs) == {digest(1), digest(4), digest(5), digest(1012), digest(1016)}
    assert (
        garbage.describe()
        == "remove 3 images, 1 name, 2 layers, 5 blobs and 0 records of the build cache"
    )


def test_everything_used_since_the_oldest_lease_stays() -> None:
    garbage = decide(
        inventory({1: (("shop:v1",), (11,))}, used=NOW),
        Roots(),
        now=NOW,
        cutoff=NOW - 5,
        cache_size=0,
    )
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
    pulls = tuple(
        PullNote(path=Path(f"/{n}"), image=digest(n), used_at=at) for n, at in used.items()
    )
    garbage = decide(replace(seen, pulls=pulls), Roots(), now=NOW, cutoff=NOW, cache_size=300)
    assert set(garbage.images) == {digest(3), digest(4)}
    assert garbage.cache == (Path("/3"), Path("/4"), Path("/9"))
    assert set(garbage.layers) == {digest(14), digest(15)}
    assert decide(
        replace(seen, pulls=pulls), Roots(), now=NOW, cutoff=NOW - 15, cache_size=0
    ).cache == tuple(Path(f"/{n}") for n in (2, 3, 4, 9))


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
        st.tuples(
            st.sampled_from([(), ("a:v1",), ("b",)]),
            st.lists(st.integers(10, 19), max_size=4).map(tuple),
        ),
        max_size=8,
    ),
    notes=st.dictionaries(st.integers(10, 25), st.floats(NOW - 2 * STEP_KEPT, NOW), max_size=8),
    roots=st.frozensets(st.integers(0, 9), max_size=4),
    size=st.integers(0, 1000),
)
@settings(max_examples=200, deadline=None)
def test_no_kept_image_loses_a_part_and_everything_kept_has_a_reason(
    images, notes, roots, size
) -> None:
    seen = inventory(images, notes)
    garbage = decide(
        seen,
        Roots(images=frozenset(digest(n) for n in roots)),
        now=NOW,
        cutoff=NOW,
        cache_size=size,
    )
    kept = [image for key, image in seen.images.items() if key not in garbage.images]
    for image in kept:
        assert not image.blobs & set(garbage.blobs)
        assert not set(image.diff_ids) & set(garbage.layers)
        assert image.digest in {digest(n) for n in roots} or image.names == ("b",)
    noted = {entry.diff_id for entry in seen.cache if entry.path not in garbage.cache}
    assert not noted & set(garbage.layers)
    needed = noted | {diff_id for image in kept for diff_id in image.diff_ids}
    assert seen.layers.keys() - set(garbage.layers) == needed
