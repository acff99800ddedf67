"""The reading of layers and other untrusted blobs, each in a confined helper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime import process
from runtime.confined import answers
from runtime.confined.session import Confinement
from runtime.errors import ImageDamaged
from runtime.images.digest import Digest
from runtime.images.layers import packing
from runtime.images.layers.diff import Change, compare
from runtime.images.layers.release_diff import ReleaseDiff, compare_releases

_ANY = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpackedTree:
    """The checked facts about a layer that was unpacked."""

    length: int  # bytes of its tar
    tree: Digest  # of the tar that we would write of the tree


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfinedReader:
    """Reads the blobs of a store, and unpacked layers."""

    blobs: Path
    confinement: Confinement

    def unpack(self, digest: Digest, diff_id: Digest, tree: Path) -> UnpackedTree:
        """Unpack, check and sync a layer into a new folder, in its own helper.

        Raises ImageDamaged.
        """
        again = "Deploy the app again, or import the image again."
        tree.mkdir(mode=0o755)
        try:
            with (self.blobs / digest.hex).open("rb") as blob, self.confinement.session() as helper:
                done = helper.call(packing.unpack, blob=blob, top=helper.tree(tree, writable=True))
        except FileNotFoundError:
            raise ImageDamaged(
                f"The layer {digest} is not in the store, or lacks a part.", hint=again
            ) from None
        except ImageDamaged as error:
            raise ImageDamaged(
                f"The layer {digest} cannot be unpacked: {error.what}", hint=error.hint or again
            ) from None
        except OSError as error:
            raise ImageDamaged(
                f"The layer {digest} could not be unpacked: {error.strerror}.",
                hint="Check that the disk is not full.",
            ) from None
        if done.diff_id != diff_id:
            raise ImageDamaged(
                f"The layer {digest} holds {done.diff_id} instead of {diff_id}.", hint=again
            )
        if not done.synced:
            sync_file_system(tree)
        return UnpackedTree(
            length=answers.number(done.length),
            tree=answers.parsed(Digest.parse, done.fingerprint),
        )

    def content(self, blob: Path, most: int | None) -> packing.Content:
        """Read an untrusted blob.

        Raises ImageDamaged if it is unreadable or has more than `most` bytes.
        """
        with blob.open("rb") as file, self.confinement.session() as helper:
            found = helper.call(packing.read, blob=file, most=_ANY if most is None else most)
        answers.number(found.length, _ANY if most is None else most)
        return found

    def compare(self, before: Sequence[Path], after: Sequence[Path]) -> list[Change]:
        """Return the changes from one stack of unpacked layers to another, both topmost first."""
        with self.confinement.session() as helper:
            return helper.call(compare, before=helper.trees(before), after=helper.trees(after))

    def compare_releases(
        self, before: Sequence[Path], after: Sequence[Path], folder: str
    ) -> ReleaseDiff:
        """Compare as `compare`, with packages, and with the text of changed files below `folder`,
        a path without a leading slash."""
        with self.confinement.session() as helper:
            return helper.call(
                compare_releases,
                before=helper.trees(before),
                after=helper.trees(after),
                folder=folder,
            )

    def fingerprint(self, tree: Path) -> Digest:
        """Return the digest of the tar that we would write of a tree.

        For our own layers it is the diff ID.
        """
        with self.confinement.session() as helper:
            found = helper.call(packing.fingerprint, top=helper.tree(tree))
        return answers.parsed(Digest.parse, found)


def sync_file_system(tree: Path) -> None:
    """Sync a tree of many files to disk before it is renamed (sync(1) -f)."""
    process.run(["sync", "-f", tree], timeout=600, stoppable=True)
