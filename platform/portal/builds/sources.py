"""Archives by the SHA-256 of their bytes: on disk whole and synced before a row speaks of them, then never changed."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import time
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile

from portal.builds.models import Source
from portal.builds.uploads import UploadedArchive
from portal.errors import SourceRefused, SourceTooLarge

_DIGEST = re.compile(r"[0-9a-f]{64}")
ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst", ".tar.xz", ".txz")


def store_upload(file: UploadedFile[bytes], *, filename: str) -> Source:
    """Keep an uploaded archive. SourceRefused when it is empty, too large or of no kind we unpack."""
    name = _checked_name(filename)
    if isinstance(file, UploadedArchive):
        return _keep(Path(file.temporary_file_path()), file.hash.hexdigest(), file.size or 0, name)
    with UploadedArchive(name) as archive:
        for chunk in file.chunks():
            archive.append(chunk)
        return _keep(Path(archive.temporary_file_path()), archive.hash.hexdigest(), archive.size or 0, name)


def store_file(path: Path, *, filename: str) -> Source:
    """Keep an archive that we made ourselves in settings.INCOMING (of a git commit); the caller removes its own name of it."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return _keep(path, digest, path.stat().st_size, _checked_name(filename))


def path_of(source: Source) -> Path:
    """Where the bytes lie."""
    return Path(settings.SOURCES) / source.digest


def sweep_incoming(*, older_than: float = 86400.0) -> int:
    """Remove what interrupted uploads left behind, by age in seconds; how many. For the upkeep schedule."""
    removed = 0
    for path in settings.INCOMING.glob("*"):
        if time.time() - path.stat().st_mtime > older_than:
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def collect(needed: Container[str], *, older_than: float = 3600.0) -> tuple[int, int]:
    """Remove archives whose digest is not needed and that nobody sent within `older_than` seconds; how many, and their bytes.

    An archive that just came has no build yet, so its age protects it. Rows stay: they tell what was deployed.
    """
    removed = freed = 0
    for path in settings.SOURCES.glob("*"):
        if not _DIGEST.fullmatch(path.name) or path.name in needed:
            continue
        with _folder_held(fcntl.LOCK_EX):
            status = path.stat()
            if time.time() - status.st_mtime > older_than:
                path.unlink()
                removed, freed = removed + 1, freed + status.st_size
    return removed, freed


def _keep(path: Path, digest: str, size: int, filename: str) -> Source:
    if size == 0:
        raise SourceRefused(f"The file {filename} is empty.", hint="Look at how it was made, and upload it again.")
    if size > settings.MAX_UPLOAD:
        raise SourceTooLarge(
            f"The archive {filename} is larger than the {settings.MAX_UPLOAD // 2**20} MiB that one deploy may have.",
            hint="Leave out what a build does not need: dependencies, build results, data.",
        )
    target = settings.SOURCES / digest
    path.chmod(0o440)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    fresh = settings.INCOMING / f"{digest}-{os.urandom(6).hex()}"
    os.link(path, fresh)
    with _folder_held(fcntl.LOCK_SH):
        fresh.rename(target)  # whole or not at all; over the same bytes where they came before, which makes them young again
        _sync_folder(settings.SOURCES)
    fresh.unlink(missing_ok=True)  # rename(2) does nothing where both are one file already
    source, _ = Source.objects.get_or_create(digest=digest, filename=filename, defaults={"size": size})
    return source


def _checked_name(filename: str) -> str:
    name = "".join(character for character in PurePath(filename.replace("\\", "/")).name if character.isprintable())[-255:]
    if not name.lower().endswith(ENDINGS):
        raise SourceRefused(f"{name or 'A file without a name'} is no archive we take.", hint=f"Pack the code as {', '.join(ENDINGS)}.")
    return name


@contextmanager
def _folder_held(how: int) -> Iterator[None]:
    """Keeps `collect` from removing what an upload just found to be there already."""
    descriptor = os.open(settings.SOURCES, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Makes the new name itself survive a power cut (fsync(2))."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
