"""Recognise pointer files of Git LFS: small texts with the digest of a large file, which git itself
does not have (github.com/git-lfs/git-lfs, docs/spec.md)."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.errors import BadArchive

LARGEST = 1024  # bytes; the specification keeps pointers smaller
_BEGIN, _OBJECT = b"version https://git-lfs.github.com/spec/", b"\noid "
_MOST_SHOWN = 3


def is_pointer(content: bytes) -> bool:
    """Return True if this is the whole content of a pointer file."""
    return len(content) <= LARGEST and content.startswith(_BEGIN) and _OBJECT in content


def refusal(paths: Sequence[str]) -> BadArchive:
    """Return the error for a source with pointer files. It names the first of them."""
    names = ", ".join(repr(path) for path in paths[:_MOST_SHOWN])
    more = f" and {len(paths) - _MOST_SHOWN:,} more" if len(paths) > _MOST_SHOWN else ""
    words = "is a pointer file" if len(paths) == 1 else "are pointer files"
    return BadArchive(
        f"{names}{more} {words} of Git LFS. The real content is not in the source.",
        hint=(
            "Upload an archive of the folder after `git lfs pull`, or keep these files in git"
            " itself with `git lfs migrate export`."
        ),
    )
