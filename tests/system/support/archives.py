"""Archives of sources in memory: the examples, small apps of one file, and invalid archives."""

import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import zstandard

EXAMPLES = Path(__file__).parents[3] / "examples"
SKIPPED = {"node_modules", "__pycache__", ".venv", ".yarn", ".pnp.cjs"}


def example(name: str, changes: Mapping[str, str] | None = None) -> bytes:
    """Return examples/NAME as .tar.gz; `changes` replaces or adds files."""
    files = {
        str(path.relative_to(EXAMPLES / name)): path.read_bytes()
        for path in sorted((EXAMPLES / name).rglob("*"))
        if path.is_file() and not SKIPPED & set(path.parts)
    }
    return app({**files, **{path: text.encode() for path, text in (changes or {}).items()}})


def app(files: Mapping[str, str | bytes]) -> bytes:
    """Return these files as .tar.gz."""
    return _tar(lambda archive: [_file(archive, path, text) for path, text in files.items()])


def zipped(files: Mapping[str, str | bytes]) -> bytes:
    """Return these files as .zip."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return packed.getvalue()


def python(
    program: str, *, procfile: str = "web: python3 app.py", more: Mapping[str, str] | None = None
) -> bytes:
    """Return an app of one Python file, and `more` files."""
    return app(
        {
            "app.py": program,
            "Procfile": procfile + "\n",
            ".python-version": "3.13\n",
            **(more or {}),
        }
    )


def hostile() -> dict[str, tuple[str, Callable[[], bytes], str]]:
    """Return invalid archives by description.

    Each has a file name, a function that makes it, and a word of the refusal.
    """
    return {
        "a path that climbs out": (
            "up.zip",
            lambda: zipped({"index.html": "x", "../outside": "x"}),
            "leads out",
        ),
        "an absolute path": (
            "abs.tar",
            lambda: _tar(lambda a: [_file(a, "/etc/x", "x")], compress=False),
            "/etc/x",
        ),
        "a link that leads out": (
            "link.tar.gz",
            lambda: _tar(lambda a: [_link(a, "secrets", "../../../etc/shadow")]),
            "outside the archive",
        ),
        "a device": (
            "device.tar.gz",
            lambda: _tar(lambda a: [_special(a, "disk", tarfile.BLKTYPE)]),
            "disk",
        ),
        "a setuid bit": (
            "setuid.tar.gz",
            lambda: _tar(lambda a: [_file(a, "root-me", "x", mode=0o4755)]),
            "root-me",
        ),
        "a name twice": (
            "twice.tar.gz",
            lambda: _tar(lambda a: [_file(a, "app.py", "1"), _file(a, "app.py", "2")]),
            "twice",
        ),
        "ten gigabytes": ("bomb.tar.zst", _bomb, "unpacks"),
        "a hundred thousand entries": ("many.tar.gz", _many, "entries"),
        "a truncated end": ("cut.tar.gz", lambda: example("hello")[:-200], "too early"),
        "a wrong ending": ("hello.zip", lambda: example("hello"), "its content is"),
        "no files": ("empty.tar.gz", lambda: _tar(lambda _: []), "no files"),
    }


def _tar(fill: Callable[[tarfile.TarFile], object], *, compress: bool = True) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        fill(archive)
    return gzip.compress(packed.getvalue(), 1) if compress else packed.getvalue()


def _file(archive: tarfile.TarFile, path: str, text: str | bytes, mode: int = 0o644) -> None:
    data = text.encode() if isinstance(text, str) else text
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode = len(data), mode
    archive.addfile(entry, io.BytesIO(data))


def _link(archive: tarfile.TarFile, path: str, target: str) -> None:
    entry = tarfile.TarInfo(path)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    archive.addfile(entry)


def _special(archive: tarfile.TarFile, path: str, kind: bytes) -> None:
    entry = tarfile.TarInfo(path)
    entry.type, entry.mode = kind, stat.S_IRUSR
    entry.devmajor, entry.devminor = 8, 0
    archive.addfile(entry)


def _bomb() -> bytes:
    """Return a file of 10 GiB of zeros, compressed to some 300 kB."""
    entry = tarfile.TarInfo("zeros")
    entry.size = 10 * 2**30
    packed = io.BytesIO()
    with zstandard.ZstdCompressor(level=1).stream_writer(packed, closefd=False) as out:
        out.write(entry.tobuf(tarfile.GNU_FORMAT))
        zeros = bytes(16 * 2**20)
        for _ in range(entry.size // len(zeros)):
            out.write(zeros)
        out.write(bytes(1024))
    return packed.getvalue()


def _many() -> bytes:
    head = tarfile.TarInfo("index.html").tobuf()
    entries = b"".join(tarfile.TarInfo(f"e{number:06}").tobuf() for number in range(100_001))
    return gzip.compress(head + entries + bytes(1024), 1)
