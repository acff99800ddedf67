"""The name of an image in the store. A name is used to find an image; the digest identifies it."""

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
        """Parse a reference name. Raises ValueError if the text is not valid."""
        if len(text) > 255 or not _PATTERN.fullmatch(text):
            raise ValueError(
                f"{text!r} is not a valid image name: use letters and digits, joined by one of - ."
                " _ : @ + /"
            )
        return cls(text)
