"""The extended headers before an entry of a tar stream: pax records, and GNU's long names."""

from __future__ import annotations

from dataclasses import dataclass, field

from runtime.trees.fields import records, text
from runtime.trees.tar_headers import decoded

_XATTR = b"SCHILY.xattr."  # GNU tar, bsdtar, Docker and Go write it
_SPARSE = b"GNU.sparse."
STANDARD = frozenset({b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime"})


@dataclass(slots=True)
class Extended:
    """The content of the extended headers before an entry."""

    values: dict[bytes, bytes] = field(default_factory=dict)
    attributes: dict[str, bytes] = field(default_factory=dict)
    sparse_pairs: list[bytes] = field(default_factory=list)
    long_name: bytes | None = None
    long_link: bytes | None = None
    any: bool = False

    def add(self, kind: bytes, data: bytes) -> None:
        """Add the content of one header. `kind` is the type of its block."""
        self.any = True
        if kind == b"L":
            self.long_name = text(data)
        elif kind == b"K":
            self.long_link = text(data)
        else:
            self.values, self.attributes, self.sparse_pairs = {}, {}, []
            for key, value in records(data):
                if key.startswith(_XATTR):
                    if name := key.removeprefix(_XATTR):
                        self.attributes[decoded(name)] = value
                elif key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
                    self.sparse_pairs.append(value)
                elif key in STANDARD or key.startswith(_SPARSE) or key == b"SCHILY.realsize":
                    self.values[key] = value
