"""Read the manifest of a .jar without unpacking the rest."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from typing import BinaryIO

MANIFEST = "META-INF/MANIFEST.MF"
_PLACE = re.compile(r"(?:target/|build/libs/)?[^/]+\.jar")
_LONGEST = 256 << 10  # bytes


def is_program_place(path: str) -> bool:
    """Return whether a jar is in a usual place for programs: at the top, or in the output of Maven
    or Gradle.
    """
    return _PLACE.fullmatch(path) is not None


def executable(files: Iterable[str], texts: Mapping[str, str]) -> list[str]:
    """Return the jars in such places that name the class to start. `texts` has their manifests."""
    return sorted(
        path
        for path in files
        if is_program_place(path) and attribute(texts.get(path, ""), "Main-Class")
    )


def manifest(file: BinaryIO) -> str:
    """Return the manifest's text with its folded lines joined; "" if there is none, or the file is
    not a jar.
    """
    try:
        with zipfile.ZipFile(file) as jar, jar.open(MANIFEST) as content:
            text = content.read(_LONGEST).decode(errors="replace")
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        KeyError,
        NotImplementedError,
        RuntimeError,
        OSError,
        ValueError,
    ):
        return ""
    return re.sub(r"\r?\n ", "", text)  # "JAR File Specification", line length


def attribute(text: str, name: str) -> str:
    """Return an attribute of the manifest's main section, or ""."""
    main = re.split(r"\r?\n\r?\n", text, maxsplit=1)[0]
    match = re.search(
        rf"^{re.escape(name)}[ \t]*:[ \t]*(\S.*?)\s*$", main, re.MULTILINE | re.IGNORECASE
    )
    return match[1] if match else ""
