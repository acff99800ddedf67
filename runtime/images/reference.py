"""The name an image goes by in our own store. A name is a way to find an image; the digest is what it is."""

from __future__ import annotations

import re
from typing import Self

# image-spec, annotations.md: the grammar of org.opencontainers.image.ref.name
_COMPONENT = r"[A-Za-z0-9]+(?:[-._:@+][A-Za-z0-9]+)*"
_PATTERN = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")


class Tag(str):
    """A reference name such as `hello:build-7`."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """ValueError names a text that cannot be a reference name."""
        if len(text) > 255 or not _PATTERN.fullmatch(text):
            raise ValueError(f"{text!r} is not an image name; letters and digits, joined by one of - . _ : @ + /")
        return cls(text)
