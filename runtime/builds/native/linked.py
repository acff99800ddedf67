"""Find the shared libraries that built files link to. A team made the files.

Runs in a confined helper.
"""

from __future__ import annotations

import itertools
import re
import stat
from collections.abc import Iterator

from elftools.common.exceptions import ELFError
from elftools.construct.core import ConstructError
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile

from runtime.confined.registry import confined
from runtime.trees.folder import Folder
from runtime.trees.walk import Found, walk

_LIBRARY = re.compile(r"[^/]+\.so(?:\.\d+)*")
_PROGRAM = re.compile(r"(?:.*/)?s?bin/[^/]+")
_MOST_FILES, _MOST_NAMES = 5_000, 200
MOST_RETURNED = 2 * _MOST_NAMES  # the file that passes the limit may need as many again
_INFO = "var/lib/dpkg/info"
_LARGEST_LIST = 8 << 20  # bytes


@confined
def needed(top: Folder) -> dict[str, str]:
    """Return the names of the libraries that a tree needs and does not contain, each with a file
    that needs it.

    A file that is not a valid ELF file needs nothing. Wheels contain their own libraries under
    names that no other package has.
    """
    found: dict[str, str] = {}
    own: set[str] = set()
    for entry in itertools.islice(_candidates(top, own), _MOST_FILES):
        for name in _needed_by(entry):
            found.setdefault(name, entry.path)
        if len(found) > _MOST_NAMES:
            break
    return {name: path for name, path in sorted(found.items()) if name not in own}


@confined
def absent(layers: tuple[Folder, ...], names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the libraries that none of the layers has in a folder of the dynamic linker."""
    left = set(names)
    for layer in layers:
        for folder in _library_folders(layer):
            left -= {name for name in left if layer.find(f"{folder}/{name}") is not None}
    return tuple(sorted(left))


@confined
def owners(layer: Folder, names: tuple[str, ...]) -> dict[str, str]:
    """Return Debian's package of each library, as dpkg's database in the layer names it."""
    found: dict[str, str] = {}
    for file in layer.names(_INFO) if layer.is_folder(_INFO) else ():
        if not file.endswith(".list"):
            continue
        lines = layer.read(f"{_INFO}/{file}", _LARGEST_LIST).decode(errors="replace").splitlines()
        files = {line.rpartition("/")[2] for line in lines if "/lib" in line}
        package = file.removesuffix(".list").partition(":")[0]
        found |= {name: package for name in names if name in files}
    return found


def _candidates(top: Folder, own: set[str]) -> Iterator[Found]:
    """Yield the regular files that may be libraries or programs. Add libraries' names to `own`."""
    for entry in walk(top):
        is_library = _LIBRARY.fullmatch(entry.name) is not None
        if is_library:
            own.add(entry.name)
        mode = entry.status.st_mode
        if stat.S_ISREG(mode) and (
            is_library or (mode & stat.S_IXUSR and _PROGRAM.fullmatch(entry.path))
        ):
            yield entry


def _needed_by(entry: Found) -> list[str]:
    """Return DT_NEEDED of a file (elf(5))."""
    with entry.folder.open_file(entry.name) as file:
        if file.read(4) != b"\x7fELF":
            return []
        file.seek(0)
        try:
            for segment in ELFFile(file).iter_segments("PT_DYNAMIC"):
                if isinstance(segment, DynamicSegment):
                    tags = segment.iter_tags("DT_NEEDED")
                    return [str(vars(tag)["needed"]) for tag in itertools.islice(tags, _MOST_NAMES)]
        except (ELFError, ConstructError, ValueError, OverflowError, AssertionError, LookupError):
            return []  # damaged, or made to confuse: the dynamic linker will refuse it, too
        except (AttributeError, TypeError):
            return []  # the same, where the parser misses a part that the file must have
    return []


def _library_folders(layer: Folder) -> Iterator[str]:
    for folder in ("usr/lib", "lib", "usr/lib64", "lib64", "usr/local/lib"):
        if layer.is_folder(folder):
            yield folder
            for name in layer.names(folder):
                if name.endswith("-linux-gnu") and layer.is_folder(f"{folder}/{name}"):
                    yield f"{folder}/{name}"
