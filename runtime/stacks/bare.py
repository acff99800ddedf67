"""The layer below a program that needs no libraries: certificates, the names of users, and the
folder /app.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_CERTIFICATES = (  # the first place where Go, curl and most others look
    "etc/ssl/certs/ca-certificates.crt"
)
_NAMES = ("etc/passwd", "etc/group")
_APP = 1000  # uid and gid


def fill(base: Path, tree: Path) -> None:
    """Make `tree` from the unpacked stack `base`."""
    for name in (_CERTIFICATES, *_NAMES):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(base / name, tree / name)
        (tree / name).chmod(0o644)
    (tree / "usr" / "local" / "bin").mkdir(parents=True)
    app = tree / "app"
    app.mkdir()
    (app / "bin").symlink_to("/usr/local/bin")  # Procfiles use bin/NAME
    os.chown(app, _APP, _APP)
    for folder, _, _ in os.walk(tree):
        Path(folder).chmod(0o755)
