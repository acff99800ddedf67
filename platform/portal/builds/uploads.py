"""Uploaded archives go straight to disk, beside where they will stay, and are hashed on the way."""

from __future__ import annotations

import hashlib
import tempfile
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler

if TYPE_CHECKING:
    _Upload = UploadedFile[bytes]  # generic in django-stubs alone
else:
    _Upload = UploadedFile


class UploadedArchive(_Upload):
    """A file of one request in the incoming folder; its name is gone when it is closed, and `builds.sources` gives it a lasting one."""

    def __init__(self, name: str, content_type: str | None = None) -> None:
        settings.INCOMING.mkdir(parents=True, exist_ok=True)
        self.draft = tempfile.NamedTemporaryFile(dir=settings.INCOMING, prefix="upload-")  # noqa: SIM115  # Django closes it with the request
        super().__init__(self.draft, name, content_type, 0)
        self.hash = hashlib.sha256()

    def append(self, data: bytes) -> None:
        """Write and hash, up to what one upload may have; the rest is only counted, and `builds.sources` refuses it by its size.

        Raising here would pass for an error of the server: the form is first read by the CSRF check, outside any view.
        """
        self.size = (self.size or 0) + len(data)
        if self.size <= settings.MAX_UPLOAD:
            self.hash.update(data)
            self.draft.write(data)

    def temporary_file_path(self) -> str:
        """Where the bytes are now (Django's own name for this)."""
        self.draft.flush()
        return self.draft.name


class ArchiveUploadHandler(FileUploadHandler):
    """Django calls it for each part of a form that is a file."""

    archive: UploadedArchive

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self.archive = UploadedArchive(self.file_name or "", self.content_type)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:  # noqa: ARG002  # Django's signature
        self.archive.append(raw_data)

    def file_complete(self, file_size: int) -> UploadedArchive:  # noqa: ARG002  # Django's signature
        self.archive.seek(0)
        return self.archive
