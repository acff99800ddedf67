"""Write uploaded archives directly to the disk of the sources folder, and hash them at the same
time."""

from __future__ import annotations

import hashlib
import tempfile
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler

if TYPE_CHECKING:
    _Upload = UploadedFile[bytes]  # generic only in django-stubs
else:
    _Upload = UploadedFile


class UploadedArchive(_Upload):
    """An uploaded file in the incoming folder. Its name is removed when it is closed;
    `builds.sources` gives it a permanent name."""

    def __init__(self, name: str, content_type: str | None = None) -> None:
        settings.INCOMING.mkdir(parents=True, exist_ok=True)
        self.draft = tempfile.NamedTemporaryFile(dir=settings.INCOMING, prefix="upload-")  # noqa: SIM115  # Django closes it with the request
        super().__init__(self.draft, name, content_type, 0)
        self.hash = hashlib.sha256()

    def append(self, data: bytes) -> None:
        """Write and hash data up to the limit of an upload. Data beyond it is only counted, so that
        `builds.sources` refuses the file.

        An exception here would look like a server error, because the CSRF check reads the form
        first, outside any view.
        """
        self.size = (self.size or 0) + len(data)
        if self.size <= settings.MAX_UPLOAD:
            self.hash.update(data)
            self.draft.write(data)

    def temporary_file_path(self) -> str:
        """Return the current path of the bytes (Django's method name)."""
        self.draft.flush()
        return self.draft.name


class ArchiveUploadHandler(FileUploadHandler):
    """Handles the files of a form. Django calls it for each part that is a file."""

    archive: UploadedArchive

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self.archive = UploadedArchive(self.file_name or "", self.content_type)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:  # noqa: ARG002  # signature given by Django
        self.archive.append(raw_data)

    def file_complete(self, file_size: int) -> UploadedArchive:  # noqa: ARG002  # signature given by Django
        self.archive.seek(0)
        return self.archive
