"""The content address of the OCI image spec: `sha256:` and 64 hex digits.

No other algorithm is supported.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Self

_PATTERN = re.compile(r"sha256:[0-9a-f]{64}")
_CHUNK = 1 << 20


class Digest(str):
    """A digest as text, `sha256:<hex>`, as it is stored in JSON and rows."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a digest. Raises ValueError if the text is not one."""
        if not _PATTERN.fullmatch(text):
            raise ValueError(f"{text!r} is not a digest; a digest is sha256: and 64 hex digits")
        return cls(text)

    @classmethod
    def of(cls, data: bytes) -> Self:
        return cls(f"sha256:{hashlib.sha256(data).hexdigest()}")

    @classmethod
    def of_file(cls, path: Path) -> Self:
        hashed = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                hashed.update(chunk)
        return cls(f"sha256:{hashed.hexdigest()}")

    @property
    def hex(self) -> str:
        return self.removeprefix("sha256:")

    @property
    def short(self) -> str:
        """Return the short form for people: sha256: and 12 digits."""
        return self[:19]


def chain_id(diff_ids: list[Digest]) -> Digest:
    """Return the id of a stack of layers, bottom first (image-spec, config.md, "Layer ChainID")."""
    chain = diff_ids[0]
    for diff_id in diff_ids[1:]:
        chain = Digest.of(f"{chain} {diff_id}".encode())
    return chain
