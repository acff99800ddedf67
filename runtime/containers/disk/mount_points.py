"""The check of the path at which a volume is mounted, in a confined helper.

The image is a tenant's. A link in the path would move the mount to another folder, such as /proc.
Files of the image at the path would be hidden, and the app's code may be among them.
"""

from __future__ import annotations

import stat

from runtime.confined.registry import confined
from runtime.trees.folder import Folder

_PLACEHOLDERS = frozenset({".gitignore", ".gitkeep", ".keep", ".placeholder"})


@confined
def obstacle(top: Folder, path: str) -> str:
    """Return why no volume can be mounted at `path`, an absolute one; "" if it can."""
    parts = path.strip("/").split("/")
    for depth in range(1, len(parts) + 1):
        place = "/".join(parts[:depth])
        found = top.find(place)
        if found is None:
            return ""
        if stat.S_ISLNK(found.st_mode):
            return f"/{place} is a link in the image"
        if not stat.S_ISDIR(found.st_mode):
            return f"/{place} is a file in the image"
    hidden = [name for name in top.names(path.strip("/")) if name not in _PLACEHOLDERS]
    return f"the image has files there, such as {hidden[0][:60]!r}" if hidden else ""
