"""Targets that unpack archives: uploads, layers, and trees of git."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import tarfile
import zipfile
from pathlib import Path

from hypothesis import strategies as st

from runtime.builds.source import archive
from runtime.errors import BadArchive, ImageDamaged
from runtime.images.layers.layer import unpack_tar
from runtime.trees.folder import Folder
from runtime.trees.plain import Plain, Unreadable
from runtime.trees.tar import TarReader
from runtime.trees.tar_entries import TarLimits
from tests.fuzz.names import PARTS, Entry, entries, links, paths, tar_of
from tests.fuzz.sandbox import Sandbox
from tests.fuzz.target import Target

MOST_BYTES, MOST_ENTRIES = 1 << 20, 200
GIT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "LC_ALL": "C.UTF-8",
}
MODES = (b"100644", b"100755", b"120000", b"40000", b"160000", b"100664", b"0", b"777777")


def unpack(data: bytes, sandbox: Sandbox) -> None:
    sandbox.input.write_bytes(data)
    sandbox.target.mkdir()
    with sandbox.input.open("rb") as packed, Folder.at(sandbox.target) as target:
        archive.unpack(packed, "source", target, max_bytes=MOST_BYTES, max_entries=MOST_ENTRIES)
    size = sum(
        path.lstat().st_size
        for path in sandbox.target.rglob("*")
        if path.is_file() and not path.is_symlink()
    )
    assert size <= MOST_BYTES, f"{size} bytes were unpacked, and {MOST_BYTES} were allowed"
    for path in sandbox.target.rglob("*"):
        if path.is_symlink():
            # A loop of links has no target: realpath returns the link's own place.
            leads_to = os.path.realpath(path)
            assert Path(leads_to).is_relative_to(os.path.realpath(sandbox.target)), (
                f"{path} leads to {leads_to}"
            )


def unpack_layer(data: bytes, sandbox: Sandbox) -> None:
    sandbox.target.mkdir()
    with Folder.at(sandbox.target) as target:
        unpack_tar(io.BytesIO(data), target)


def read_tar(data: bytes, _: Sandbox) -> None:
    """Read every byte of every entry of any archive.

    The run's `-rss_limit_mb` detects a reader that loads a whole entry into memory.
    """
    reader = TarReader(
        Plain(io.BytesIO(data)), limits=TarLimits(entries=MOST_ENTRIES, content_bytes=MOST_BYTES)
    )
    read = 0
    for member in reader:
        assert 0 <= member.mode <= 0o7777, member
        assert "\0" not in member.name, member
        while block := reader.read(1 << 16):
            read += len(block)
    assert read <= MOST_BYTES, f"{read} bytes were read, and {MOST_BYTES} were allowed"


def unpack_commit(tree: list[tuple[bytes, str, bytes]], sandbox: Sandbox) -> None:
    """Write a tree object with these entries without git's checks, as a hostile client could, then
    unpack it as the hook does.
    """
    repository = sandbox.input.with_name("work") / "target"
    repository.mkdir()

    def git(*words: str, given: bytes = b"") -> bytes:
        done = subprocess.run(
            ["git", *words],
            cwd=repository,
            env=GIT,
            input=given,
            capture_output=True,
            check=False,
            timeout=20,
        )
        if done.returncode != 0:
            raise BadArchive(done.stderr.decode(errors="replace"), hint="")
        return done.stdout.strip()

    git("init", "--quiet", "--bare")
    blob = git("hash-object", "-w", "--stdin", given=b"content").decode()
    empty = git("hash-object", "-w", "-t", "tree", "--stdin").decode()
    listing = b""
    for mode, name, text in tree:
        of = blob if mode not in {b"40000", b"120000"} else empty
        if mode == b"120000":
            of = git("hash-object", "-w", "--stdin", given=text).decode()
        listing += (
            mode
            + b" "
            + name.encode("utf-8", "surrogateescape").replace(b"\0", b"")
            + b"\0"
            + bytes.fromhex(of)
        )
    made = git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", given=listing).decode()
    # A push is checked in the same way: transfer.fsckObjects.
    git("fsck", "--strict", "--no-dangling")
    packed = git_archive(repository, made)
    (repository / "unpacked").mkdir()
    with Folder.at(repository / "unpacked") as target:
        archive.unpack(
            io.BytesIO(packed), "source.tar", target, max_bytes=MOST_BYTES, max_entries=MOST_ENTRIES
        )


def git_archive(repository: os.PathLike[str], tree: str) -> bytes:
    command = ["git", "archive", "--format=tar", "--worktree-attributes", tree]
    done = subprocess.run(
        command, cwd=repository, env=GIT, capture_output=True, check=False, timeout=20
    )
    if done.returncode != 0:
        raise BadArchive(done.stderr.decode(errors="replace"), hint="")
    return done.stdout


def zip_of(chosen: list[Entry]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as out:
        for entry in chosen:
            info = zipfile.ZipInfo("x")
            info.filename = entry.name.encode("utf-8", "replace").decode()
            kind = {
                tarfile.SYMTYPE: 0o120000,
                tarfile.DIRTYPE: 0o040000,
                tarfile.FIFOTYPE: 0o010000,
                tarfile.BLKTYPE: 0o060000,
            }
            info.external_attr = (
                (kind.get(entry.kind, 0o100000) | (entry.mode & 0o7777)) & 0xFFFF
            ) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            try:
                out.writestr(
                    info,
                    (
                        entry.link.encode("utf-8", "replace")
                        if entry.kind == tarfile.SYMTYPE
                        else entry.text
                    ),
                )
            except (ValueError, UnicodeError):
                continue
    return packed.getvalue()


def seeds() -> list[bytes]:
    file = Entry("app/index.html", tarfile.REGTYPE, "", 0o644, 0, b"hello", (), None)
    link = Entry(
        "app/link", tarfile.SYMTYPE, "index.html", 0o777, 0, b"", (("path", "app/link"),), None
    )
    plain = tar_of([file, link])
    return [plain, gzip.compress(plain), zip_of([file, link])]


commit_entries = st.tuples(
    st.sampled_from(MODES), paths, links.map(lambda text: text.encode("utf-8", "replace"))
)
sound_entries = st.tuples(
    st.sampled_from((b"100644", b"100755", b"120000", b"40000")),
    (
        st.sampled_from(PARTS)
        | st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=8)
    ).filter(lambda name: name not in ("", ".", "..", ".git", "a" * 256) and "/" not in name),
    st.sampled_from((b"a", b"./a//b/", b"b/../c", b"link")),
)


def as_git_sorts(tree: list[tuple[bytes, str, bytes]]) -> list[tuple[bytes, str, bytes]]:
    """Return the entries in the order that git checks: a folder's name as if it ended with a
    slash.
    """
    return sorted(
        tree,
        key=lambda entry: (
            entry[1].encode("utf-8", "surrogateescape") + (b"/" if entry[0] == b"40000" else b"")
        ),
    )


A_FILE = (b"100644", "file of a tree that would hold none", b"")
sound_trees = st.lists(sound_entries, max_size=4, unique_by=lambda entry: entry[1]).map(
    lambda tree: as_git_sorts([*tree, A_FILE])
)
commit_trees = st.one_of(
    sound_trees, sound_trees, sound_trees, st.lists(commit_entries, max_size=4)
)

TARGETS = (
    Target(
        name="upload",
        examples=st.binary(max_size=4096),
        run=unpack,
        refusals=(BadArchive,),
        seeds=seeds,
    ),
    Target(
        name="upload-tar",
        examples=st.lists(entries, max_size=8).map(tar_of),
        run=unpack,
        refusals=(BadArchive,),
    ),
    Target(
        name="tar",
        examples=st.binary(max_size=4096),
        run=read_tar,
        refusals=(Unreadable,),
        seeds=seeds,
    ),
    Target(
        name="upload-zip",
        examples=st.lists(entries, max_size=8).map(zip_of),
        run=unpack,
        refusals=(BadArchive,),
    ),
    Target(
        name="layer",
        examples=st.lists(entries, max_size=10).map(tar_of),
        run=unpack_layer,
        refusals=(ImageDamaged, Unreadable),
    ),
    Target(
        name="git-tree",
        examples=commit_trees,
        run=unpack_commit,
        refusals=(BadArchive,),
    ),
)
