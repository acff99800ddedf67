"""Operations of a Dockerfile on trees, as calls of a confined helper.

Each build has one helper, so ten COPYs of one file read it once.
"""

from __future__ import annotations

import errno
import posixpath
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from runtime.builds.dockerfile.accounts import Account
from runtime.builds.dockerfile.copying import Copying, Item
from runtime.builds.dockerfile.finding import content_of, find
from runtime.builds.dockerfile.ignore import Digests, context
from runtime.builds.dockerfile.room import Room
from runtime.builds.dockerfile.sources import Wanted
from runtime.builds.dockerfile.syntax import Instruction
from runtime.builds.dockerfile.tree import Tree
from runtime.builds.dockerfile.unpacking import is_archive, unpack_into
from runtime.confined.registry import confined
from runtime.images.layers import sanitizing
from runtime.images.layers.layer import is_opaque, is_whiteout
from runtime.trees.copying import copy_tree
from runtime.trees.folder import Folder
from runtime.trees.walk import walk

_LARGEST_TEXT = 4 << 20
_digests = Digests()  # of this helper, which belongs to one build


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One COPY or ADD with variables replaced."""

    of: Instruction
    asked: Wanted
    excluded: tuple[str, ...]  # patterns of --exclude
    is_context: bool  # the source is the build context, and not a stage or image
    owner: Account | None  # --chown
    chmod: int | None
    unpack: bool  # ADD of a tar
    most: int  # bytes that it may write


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The files that a COPY would copy."""

    digest: str
    items: int


@confined
def content(source: Folder, request: Request, made_after: float) -> Content:
    """Find the requested files, and return their digest. BadSource names a missing one.

    `made_after` is the Unix time after which this build made files.
    """
    with _checked_names(request.of):
        items = _items(source, request)
        return Content(digest=content_of(items, _digests, made_after=made_after), items=len(items))


@confined
def copy(source: Folder, root: Folder, request: Request) -> None:
    """Copy the requested files into a stage's root."""
    items = _items(source, request)
    into = request.asked.into_folder or len(items) > 1
    kept = (
        Account(uid=0, gid=0) if request.is_context else None
    )  # files of a stage keep their owners
    copying = Copying(
        root=Tree(root=root),
        owner=request.owner or kept,
        chmod=request.chmod,
        of=request.of,
        room=Room(of=request.of, most=request.most),
    )
    unpacking = replace(copying, owner=request.owner)
    destination = request.asked.destination
    with _checked_names(request.of):
        for item in items:
            place = item.tree.place(item.name)
            if request.unpack and is_archive(item.tree, place):
                unpack_into(item.tree, place, unpacking, destination)
            else:
                copying.put(item, destination, into_folder=into)
        for name, data in request.asked.files:
            copying.write(data, destination, name, into_folder=into)


@confined
def look_up(source: Folder, name: str, of: Instruction, is_context: bool, made_after: float) -> str:
    """Return the digest of a mount's content. BadSource: no file or folder has that name."""
    tree = context(source) if is_context else Tree(root=source)
    place = tree.place(name)
    status = tree.status(place)
    if status is None:
        raise of.wrong(f"source={name} does not exist.")
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise of.wrong(f"source={name} is neither a file nor a folder, so it cannot be mounted.")
    return content_of([Item(tree=tree, name=name)], _digests, made_after=made_after)


@confined
def has_rules(source: Folder) -> bool:
    """Return whether a .dockerignore hides part of the context."""
    return context(source).hidden is not None


@confined
def copy_seen(source: Folder, target: Folder) -> None:
    """Copy the part of the context that .dockerignore keeps into an empty folder."""
    tree = context(source)
    seen = {found.path for found in tree.walk("")}
    copy_tree(source, target, wanted=lambda path: path in seen)


@confined
def size_below(source: Folder, name: str) -> int:
    """Return the bytes of a folder or a file, with the holes of files. BuildFailed: it has too many
    files.
    """
    tree = Tree(root=source)
    place = tree.place(name)
    if not tree.is_folder(place):
        return source.status(place).st_size
    with source.subfolder(place) as folder:
        return sanitizing.size(top=folder)


@confined
def fill(source: Folder, name: str, target: Folder) -> None:
    """Copy a folder of a tree, or a single file, into the empty folder of a cache mount."""
    tree = Tree(root=source)
    place = tree.place(name)
    if tree.is_folder(place):
        with source.subfolder(place) as folder:
            copy_tree(folder, target)
    else:
        source.copy_file(place, target, posixpath.basename(place))


@confined
def make_directory(root: Folder, name: str, owner: Account, of: Instruction) -> None:
    """Make the folder of a WORKDIR with its parents."""
    with _checked_names(of):
        room = Room(of=of, most=0)  # it writes no file
        Copying(root=Tree(root=root), owner=owner, chmod=None, of=of, room=room).folder(name)


@confined
def forget_times(top: Folder, after: float, instead: int) -> None:
    """Give another time to all files written `after` a moment (Unix time), so that a new build
    gives the same bytes.
    """
    moment = instead * 10**9
    for found in walk(top):
        if found.status.st_mtime > after:
            found.folder.set_times(found.name, moment, moment)
    if top.status().st_mtime > after:
        top.set_times("", moment, moment)


@confined
def read_text(layers: tuple[Folder, ...], name: str) -> str:
    """Return the text of a regular file in the union of layers, topmost first.

    Return "" if it does not exist, is behind a link, or is larger than 4 MiB.
    """
    parts = name.split("/")
    for layer in layers:
        for depth in range(1, len(parts) + 1):
            place = "/".join(parts[:depth])
            status = layer.find(place)
            if status is None:
                break
            if stat.S_ISREG(status.st_mode) and depth == len(parts):
                return (
                    ""
                    if status.st_size > _LARGEST_TEXT
                    else layer.read(place, _LARGEST_TEXT).decode(errors="replace")
                )
            if is_whiteout(status) or not stat.S_ISDIR(status.st_mode):
                return ""
            if is_opaque(layer, place) and layer.find(name) is None:
                return ""
    return ""


def _items(source: Folder, request: Request) -> list[Item]:
    tree = context(source) if request.is_context else Tree(root=source)
    return find(request.of, request.asked, tree, request.excluded)


@contextmanager
def _checked_names(of: Instruction) -> Iterator[None]:
    """Raise BadSource instead of OSError if a name is too long for a file."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise of.wrong(
            f"The name {str(error.filename)[:80]!r}… is longer than the 255 bytes that a file's"
            " name may have."
        ) from None
