"""Uploaded archives go straight to disk, beside where they will stay, and are hashed on the way."""

from __future__ import annotations

import hashlib
import tempfile
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler

from portal.errors import SourceTooLarge


class UploadedArchive(UploadedFile):
    """A file of one request in the incoming folder; gone when closed, unless `builds.sources` kept it by then."""

    def __init__(self, name: str, content_type: str | None, charset: str | None, extra: dict[str, str] | None) -> None:
        settings.INCOMING.mkdir(parents=True, exist_ok=True)
        super().__init__(tempfile.NamedTemporaryFile(dir=settings.INCOMING, prefix="upload-"), name, content_type, 0, charset, extra)
        self.hash = hashlib.sha256()

    def temporary_file_path(self) -> str:
        """Where the bytes are now (Django's own name for this)."""
        return str(self.file.name)


class ArchiveUploadHandler(FileUploadHandler):
    """Django calls it for each part of a form that is a file."""

    archive: UploadedArchive

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self.archive = UploadedArchive(self.file_name or "", self.content_type, self.charset, self.content_type_extra)
        self.received = 0

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self.received += len(raw_data)
        if self.received > settings.MAX_UPLOAD:
            raise SourceTooLarge(
                f"The file {self.file_name} is larger than the {settings.MAX_UPLOAD // 2**20} MiB that one upload may have.",
                hint="Leave out what a build does not need: dependencies, build results, data.",
            )
        self.archive.hash.update(raw_data)
        self.archive.file.write(raw_data)

    def file_complete(self, file_size: int) -> UploadedArchive:
        self.archive.file.flush()
        self.archive.seek(0)
        self.archive.size = file_size
        return self.archive
