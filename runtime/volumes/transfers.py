"""Lists, downloads and uploads of volumes. A confined helper handles the tenant's files."""

from __future__ import annotations

import os
from pathlib import Path

from runtime.confined.answers import number
from runtime.confined.session import Confinement
from runtime.contract.quantities import Bytes
from runtime.volumes import contents
from runtime.volumes.contents import Counted, Listing
from runtime.volumes.volume import Volume
from runtime.volumes.volumes import Volumes

_PATIENCE = 1800.0  # seconds for one archive


class Transfers:
    """The content of this node's volumes."""

    def __init__(self, volumes: Volumes, confinement: Confinement | None = None) -> None:
        self._volumes, self._confinement = volumes, confinement or Confinement()

    def listing(self, volume: Volume, place: str) -> Listing:
        """List a folder of a volume while instances use it. Raise VolumeFailed if there is none."""
        data = self._volumes.mount(volume)
        with self._confinement.session(volume.team) as helper:
            top = helper.tree(data, as_written=True)
            return helper.call(contents.listing, top=top, place=place, most=contents.MOST_LISTED)

    def pack(self, volume: Volume, target: Path) -> tuple[Counted, Bytes]:
        """Write all files of a volume, as they are at one time, to a new tar.gz."""
        with (
            self._volumes.opened_copy(volume) as data,
            target.open("xb") as archive,
            self._confinement.session(volume.team) as helper,
        ):
            os.fchmod(archive.fileno(), 0o600)
            counted = helper.call_for(
                _PATIENCE,
                _ignore,
                contents.pack,
                top=helper.tree(data, as_written=True),
                archive=archive,
            )
        return _checked(counted), Bytes(target.stat().st_size)

    def unpack(self, volume: Volume, archive: Path, *, filename: str, place: str) -> Counted:
        """Unpack an archive into a folder of a volume. Raise BadArchive or VolumeFailed."""
        data = self._volumes.mount(volume)
        with archive.open("rb") as source, self._confinement.session(volume.team) as helper:
            counted = helper.call_for(
                _PATIENCE,
                _ignore,
                contents.unpack,
                top=helper.tree(data, writable=True, as_written=True),
                place=place,
                archive=source,
                filename=filename,
                most=int(volume.size),
            )
        return _checked(counted)


def _ignore(line: str) -> None:
    """Ignore a line of output. The functions write none."""


def _checked(counted: Counted) -> Counted:
    number(counted.files)
    number(counted.left_out)
    return counted
