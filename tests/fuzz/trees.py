"""Targets that copy between trees as the instructions COPY and ADD of a Dockerfile do.

The trees contain links, and the copied folders and mounts come from other stages.
"""

from __future__ import annotations

import io
from contextlib import suppress

from hypothesis import strategies as st

from runtime.builds.dockerfile import sources, work
from runtime.builds.dockerfile.syntax import Instruction, Words, parse
from runtime.errors import BadSource, ImageDamaged
from runtime.images.layers.layer import unpack_tar
from runtime.trees.folder import Folder
from runtime.trees.links import SymlinkLoop
from runtime.trees.plain import Unreadable
from tests.fuzz.names import Entry, entries, paths, small_entries, small_paths, tar_of
from tests.fuzz.sandbox import Sandbox
from tests.fuzz.target import Target

Example = tuple[list[Entry], list[Entry], str, list[str], str]
FLAGS = ("", "--chown=1:2", "--chmod=755", "--parents", "--exclude=a", "--link")
BEFORE = 0.0  # made_after: all times of these trees count as times of the build
MOUNTED = ("fill", "look_up", "copy_seen", "make_directory")

hows = st.sampled_from(("COPY", "ADD", *MOUNTED))
flags = st.lists(st.sampled_from(FLAGS), max_size=2)
trees = st.lists(entries, max_size=5)
small_trees = st.lists(small_entries, min_size=1, max_size=8)
small_names = st.sampled_from((".", "/")) | small_paths
examples = st.tuples(trees, trees, hows, flags, paths, paths) | st.tuples(
    small_trees, small_trees, hows, flags, small_names, small_names
)


def copy(
    example: tuple[list[Entry], list[Entry], str, list[str], str, str], sandbox: Sandbox
) -> None:
    source, root, how, flags, name, destination = example
    # The parser of the instruction refuses NUL bytes.
    name, destination = name.replace("\0", ""), destination.replace("\0", "")
    sandbox.target.mkdir()
    with _made(sandbox, "source", source) as here, _made(sandbox, "root", root) as there:
        if how in MOUNTED:
            _mount(how, here, there, name, destination)
            return
        words = [how, *flags, name or ".", destination or "/"]
        script = parse(("FROM scratch\n" + " ".join(words)).encode("utf-8", "surrogateescape"))
        of = script.instructions[-1]
        replaced = Words(script.escape, {})
        request = work.Request(
            of=of,
            asked=sources.wanted(of, replaced, replaced, "/"),
            excluded=(),
            is_context=how == "COPY",
            owner=None,
            chmod=None,
            unpack=how == "ADD",
            most=1 << 30,
        )
        work.content(here, request, BEFORE)
        work.copy(here, there, request)


def _mount(how: str, here: Folder, there: Folder, name: str, destination: str) -> None:
    """Change the trees as RUN --mount, WORKDIR and USER do."""
    of = Instruction(
        name="RUN", flags=(), args=("true",), exec_form=False, heredocs=(), text="RUN true", line=2
    )
    if how in ("fill", "copy_seen"):
        there.empty()  # both need a new, empty folder
    if how == "fill":
        work.look_up(here, name, of, is_context=False, made_after=BEFORE)
        work.fill(here, name, there)
    elif how == "look_up":
        work.look_up(here, name, of, is_context=True, made_after=BEFORE)
    elif how == "copy_seen":
        work.copy_seen(here, there)
    else:
        work.make_directory(there, destination, work.Account(uid=0, gid=0), of)


def _made(sandbox: Sandbox, name: str, chosen: list[Entry]) -> Folder:
    """Create a folder from these entries. An entry that cannot be unpacked ends the unpacking."""
    path = sandbox.target / name
    path.mkdir()
    folder = Folder.at(path)
    with suppress(ImageDamaged, Unreadable):
        unpack_tar(io.BytesIO(tar_of(chosen)), folder)
    return folder


TARGETS = (Target(name="copy", examples=examples, run=copy, refusals=(BadSource, SymlinkLoop)),)
