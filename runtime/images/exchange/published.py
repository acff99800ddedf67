"""The images that the portal may serve: per app and image, a folder with links to the blobs.

Only root can read the store, so a guessed digest gives no access: the portal reads only the folder
of an app whose team makes the request. Hard links use no disk space. They keep a pushed image as
long as the release that was made from it.

    served/APP/IMAGE/HEX        a blob; APP is the app's number, IMAGE the hex of the release's
                                image
    served/APP/IMAGE/manifest   a symbolic link whose text is the hex of the manifest to serve
"""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from runtime import journal
from runtime.config import NodeConfig
from runtime.errors import ImageDamaged
from runtime.images.digest import Digest
from runtime.images.scratch import scratch, sweep
from runtime.images.store import Store

# Annotation: the digest of the pushed image that this image was made from.
ORIGINAL = "slipway.pushed"
POINTER = "manifest"


class Published:
    """The served folders of one node."""

    def __init__(self, config: NodeConfig, store: Store) -> None:
        self._config, self._store = config, store
        self._place, self._drafts = config.served, config.registry / "ingest"

    def folders(self, app: int) -> tuple[Path, ...]:
        """Return the folders of an app, one for each image."""
        place = self._place / str(app)
        return (
            tuple(sorted(path for path in place.iterdir() if len(path.name) == 64))
            if place.is_dir()
            else ()
        )

    def set(self, app: int, images: Iterable[str], *, keep: bool = False) -> None:
        """Serve these images of an app, and remove its others unless `keep`.

        An image that is missing in the store is skipped. The caller holds a lock of the app.
        """
        wanted = {Digest(image).hex for image in images}
        present = {path.name for path in self.folders(app)}
        for name in sorted(wanted - present):
            # `verify` and a deploy of the app report it.
            with suppress(ImageDamaged, FileNotFoundError):
                self._add(app, Digest(f"sha256:{name}"))
        for name in sorted(set() if keep else present - wanted):
            shutil.rmtree(self._place / str(app) / name)

    def withdraw_others(self, apps: Iterable[int]) -> None:
        """Remove the folders of all other apps, and half-made folders."""
        self._drafts.mkdir(mode=0o700, parents=True, exist_ok=True)
        sweep(self._drafts)
        known = {str(app) for app in apps}
        for path in self._place.iterdir() if self._place.is_dir() else ():
            if path.name not in known:
                shutil.rmtree(path)

    def _add(self, app: int, image: Digest) -> None:
        self._drafts.mkdir(mode=0o700, parents=True, exist_ok=True)
        home = self._place / str(app)
        with self._store.lease(), scratch(self._drafts) as space:
            draft = space / image.hex
            draft.mkdir()
            handed_out = image
            document = self._store.manifest(image)
            blobs = {image, document.config.digest, *(layer.digest for layer in document.layers)}
            # The pushed image is gone: serve the release's.
            with suppress(ImageDamaged, ValueError, KeyError):
                original = Digest.parse(document.annotations[ORIGINAL])
                pushed = self._store.manifest(original)
                if self._store.blob(pushed.config.digest).exists():
                    blobs |= {
                        original,
                        pushed.config.digest,
                        *(layer.digest for layer in pushed.layers),
                    }
                    handed_out = original
            for blob in blobs:
                os.link(self._store.blob(blob), draft / blob.hex)
            (draft / POINTER).symlink_to(handed_out.hex)
            for folder in (self._config.registry, self._place, home, draft):
                self._open_to_portal(folder)
            draft.rename(home / image.hex)
        journal.sync_folder(home)

    def _open_to_portal(self, folder: Path) -> None:
        """Let the portal's user read a folder of root. Without such a user, only root can."""
        folder.mkdir(exist_ok=True)
        folder.chmod(0o750)
        with suppress(KeyError):
            os.chown(folder, 0, pwd.getpwnam(self._config.user).pw_gid)
