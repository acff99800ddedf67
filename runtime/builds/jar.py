"""What a .jar says of itself: its manifest, read without unpacking the rest."""

from __future__ import annotations

import re
import zipfile
import zlib
from typing import BinaryIO

MANIFEST = "META-INF/MANIFEST.MF"
_PLACE = re.compile(r"(?:target/|build/libs/)?[^/]+\.jar")
_LONGEST = 256 << 10  # bytes


def is_program_place(path: str) -> bool:
    """Whether a jar lies where people leave the one to run: at the top, or where Maven and Gradle put it."""
    return _PLACE.fullmatch(path) is not None


def manifest(file: BinaryIO) -> str:
    """The manifest's text with its folded lines joined; "" where there is none, or this is no jar."""
    try:
        with zipfile.ZipFile(file) as jar, jar.open(MANIFEST) as content:
            text = content.read(_LONGEST).decode(errors="replace")
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError, OSError, ValueError):
        return ""
    return re.sub(r"\r?\n ", "", text)  # "JAR File Specification", line length


def attribute(text: str, name: str) -> str:
    """An attribute of the manifest's main section, or ""."""
    main = re.split(r"\r?\n\r?\n", text, maxsplit=1)[0]
    match = re.search(rf"^{re.escape(name)}[ \t]*:[ \t]*(\S.*?)\s*$", main, re.MULTILINE | re.IGNORECASE)
    return match[1] if match else ""
