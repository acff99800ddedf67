"""Hypothesis strategies for names, links, kinds and modes of files that an attacker would
choose.
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass

from hypothesis import strategies as st

PARTS = (
    "a", "b", "etc", "passwd", "canary", "beside", "work", "target", "..", ".", "", " ", "...",
    "a.", "C:", "con", "\\..\\x", "%2e%2e",
    "\x01", "\n", "\x1b[31m", "é", "\udcff", "a" * 255, "a" * 256, ".wh.a", ".wh..wh..opq",
    ".wh...", ".wh.", ".git", "proc", "self",
    "root", "fd", "3", "link", "DOCKER~1", "*", "?", "[", "!a", "#", "~", "$HOME", "-rf",
)  # fmt: skip
LINKS = (
    "/", "/etc", "/etc/passwd", "..", "../..", "../../beside", "../../beside/canary",
    "/proc/1/root", "/proc/self/root/etc",
    "/proc/self/cwd", "/proc/self/fd/3", "/dev/null", "a", "b/../../..", ".", "link", "./a//b/", "",
)  # fmt: skip
KINDS = (
    tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE,
    tarfile.CHRTYPE, tarfile.BLKTYPE,
    tarfile.FIFOTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE, b"Z",
)  # fmt: skip
FAVOURED = (tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE)

paths = st.builds(
    lambda start, parts, end: start + "/".join(parts) + end,
    st.sampled_from(("", "", "", "/", "./", "../", "//")),
    st.lists(st.sampled_from(PARTS) | st.text(max_size=8), min_size=0, max_size=5),
    st.sampled_from(("", "", "/")),
)
links = st.sampled_from(LINKS) | paths


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a tar."""

    name: str
    kind: bytes
    link: str
    mode: int
    owner: int
    text: bytes
    headers: tuple[tuple[str, str], ...]
    said_size: int | None


entries = st.builds(
    Entry,
    paths,
    st.sampled_from(FAVOURED) | st.sampled_from(KINDS),
    links,
    st.sampled_from((0o644, 0o755, 0o4755, 0, 0o7777, -1)) | st.integers(0, 0o177777),
    st.sampled_from((0, 1000, 65534, 65535, 65536, 2**31, -1)),
    st.binary(max_size=64),
    st.lists(
        st.tuples(
            st.sampled_from(
                ("path", "linkpath", "size", "mtime", "uid", "GNU.sparse.map", "GNU.sparse.name",
                "GNU.sparse.realsize",
                 "SCHILY.xattr.trusted.overlay.opaque", "SCHILY.xattr.user.overlay.redirect",
                 "SCHILY.xattr.security.capability", "hdrcharset")
            ),
            paths | st.sampled_from(("y", "-1", "1e9", "99999999999999999999", "0,5,1,9",
            "BINARY")),
        ),
        max_size=2,
    ).map(tuple),
    st.none() | st.sampled_from((0, 1, 511, 512, 513, 2**33, 2**60)),
)  # fmt: skip

SMALL = (
    "a",
    "b",
    "c",
)  # few names, so that trees meet: one has a link where the other has a folder
small_paths = st.lists(st.sampled_from(SMALL), min_size=1, max_size=3).map("/".join)
small_entries = st.builds(
    lambda name, kind, link, mode: Entry(
        name, kind, link, mode, 0, b"text" if kind == tarfile.REGTYPE else b"", (), None
    ),
    small_paths,
    st.sampled_from((*FAVOURED, tarfile.FIFOTYPE)),
    st.sampled_from((".", "..", "/", "/a", "../b", "b/..", "missing/deep", "/missing"))
    | small_paths,
    st.sampled_from((0o644, 0o755, 0, 0o7777)),
)


def tar_of(chosen: list[Entry]) -> bytes:
    """Return a tar of these entries, unchecked: sizes and headers may contradict the data after
    them.
    """
    blocks = []
    for entry in chosen:
        info = tarfile.TarInfo(entry.name)
        info.type, info.linkname = entry.kind, entry.link
        info.mode, info.uid, info.gid = (
            entry.mode & 0o7777777,
            max(entry.owner, 0),
            max(entry.owner, 0),
        )
        info.devmajor, info.devminor = 1, 3
        info.pax_headers = dict(entry.headers)
        info.size = len(entry.text) if entry.said_size is None else entry.said_size
        try:
            blocks.append(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        except (ValueError, UnicodeError):
            continue  # a number that the header cannot hold, or a character that cannot be encoded
        blocks.append(entry.text + bytes(-len(entry.text) % tarfile.BLOCKSIZE))
    return b"".join([*blocks, bytes(2 * tarfile.BLOCKSIZE)])
