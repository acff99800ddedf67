"""Program that runs inside a container: walk /proc, /sys and /dev, and print each name, link and
text that contains a given word.

    python3 - WORD...

The words are given in reverse, so that this program's own command line does not contain them. The
last line says how many entries were read.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path

words = [word[::-1].encode() for word in sys.argv[1:]]
others = {
    entry.name
    for entry in Path("/proc").iterdir()
    if entry.name.isdecimal() and entry.name != str(os.getpid())
}


def tell(kind: str, path: Path, content: bytes) -> None:
    for word in words:
        if word in content:
            at = content.find(word)
            print(kind, path, word[::-1].decode(), content[max(at - 60, 0) : at + 60][::-1])


def text(path: Path) -> bytes:
    """Return at most 1 MiB. A file that cannot be read without waiting counts as empty."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return b""
    try:
        return os.read(fd, 2**20)
    except OSError:
        return b""
    finally:
        os.close(fd)


looked = 0
for root in ("/proc", "/sys", "/dev"):
    for folder, folders, files in os.walk(root):
        if folder == "/proc":
            folders[:] = [name for name in folders if name not in others]
        for name in (*folders, *files):
            path = Path(folder, name)
            looked += 1
            tell("name", path, bytes(path))
            if path.is_symlink():
                with suppress(OSError):
                    tell("link", path, bytes(path.readlink()))
            elif name in files:
                tell("text", path, text(path))
print("looked", looked)
