"""Store archives by the SHA-256 of their bytes. A file is complete and synced before a row refers
to it, and never changes."""

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
    """Store an uploaded archive. Raise SourceRefused if it is empty, too large or of an unknown
    type."""
    name = _checked_name(filename)
    if isinstance(file, UploadedArchive):
        return _keep(Path(file.temporary_file_path()), file.hash.hexdigest(), file.size or 0, name)
    with UploadedArchive(name) as archive:
        for chunk in file.chunks():
            archive.append(chunk)
        return _keep(
            Path(archive.temporary_file_path()), archive.hash.hexdigest(), archive.size or 0, name
        )


def store_file(path: Path, *, filename: str) -> Source:
    """Store an archive that the portal made in settings.INCOMING (from a git commit). The caller
    removes the original name."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return _keep(path, digest, path.stat().st_size, _checked_name(filename))


def path_of(source: Source) -> Path:
    """Return the path of the archive."""
    return Path(settings.SOURCES) / source.digest


def sweep_incoming(*, older_than: float = 86400.0) -> int:
    """Remove the files of interrupted uploads that are older than `older_than` seconds. Return
    their number."""
    removed = 0
    for path in settings.INCOMING.glob("*"):
        if time.time() - path.stat().st_mtime > older_than:
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def collect(needed: Container[str], *, older_than: float = 3600.0) -> tuple[int, int]:
    """Remove archives that are not needed and were not uploaded within `older_than` seconds. Return
    their number and bytes.

    A new archive has no build yet, so its age protects it. Rows are kept as a record of the
    deploys.
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
        raise SourceRefused(
            f"The file {filename} is empty.", hint="Create the archive again and check its size."
        )
    if size > settings.MAX_UPLOAD:
        raise SourceTooLarge(
            f"The archive {filename} is too large. The limit is {settings.MAX_UPLOAD // 2**20}"
            " MiB.",
            hint=(
                "Leave out files that the build does not need, such as dependencies, build results"
                " and data."
            ),
        )
    target = settings.SOURCES / digest
    path.chmod(0o440)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    fresh = settings.INCOMING / f"{digest}-{os.urandom(6).hex()}"
    os.link(path, fresh)
    with _folder_held(fcntl.LOCK_SH):
        fresh.rename(target)  # atomic; it replaces an identical earlier file, which renews its age
        _sync_folder(settings.SOURCES)
    fresh.unlink(missing_ok=True)  # rename(2) does nothing if both names are already the same file
    source, _ = Source.objects.get_or_create(
        digest=digest, filename=filename, defaults={"size": size}
    )
    return source


def _checked_name(filename: str) -> str:
    name = "".join(
        character
        for character in PurePath(filename.replace("\\", "/")).name
        if character.isprintable()
    )[-255:]
    if not name.lower().endswith(ENDINGS):
        raise SourceRefused(
            f"Unsupported archive type: {name or 'a file without a name'}.",
            hint=f"Use one of {', '.join(ENDINGS)}.",
        )
    return name


@contextmanager
def _folder_held(how: int) -> Iterator[None]:
    """Lock the folder, so that `collect` does not remove a file that an upload has just found."""
    descriptor = os.open(settings.SOURCES, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Make the new name durable across a power failure (fsync(2))."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
