"""The folder in which an example runs, and the detection of changes outside of it.

Canary files next to the target, and the overlay on the host's files, reveal such changes.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

CHANGED = Path("/mnt/changed")  # mounted by root.sh: the changes to the host's files


class Escaped(AssertionError):
    """An example changed something outside of its folder."""


class Sandbox:
    """Folder for examples. An example may change `target` only; all files around it must stay
    unchanged.

    Call `reset` before each example and `check` after it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.target = folder / "work" / "target"
        self.input = folder / "input"
        self._host = _names(CHANGED)
        self._plant()
        self._planted = _looks(folder)

    def reset(self) -> None:
        """Remove the target and the input; keep the work folder."""
        shutil.rmtree(self.target, ignore_errors=True)
        if os.path.lexists(self.target):
            self.target.unlink()
        self.input.unlink(missing_ok=True)

    def check(self) -> None:
        """Raise Escaped, with the names of the changed files, if anything outside the target
        changed.
        """
        found = _looks(self.folder)
        if found != self._planted:
            changed = sorted({name for name, _ in found.items() ^ self._planted.items()})
            raise Escaped(f"changed outside the target: {', '.join(changed)}")
        if (host := _names(CHANGED)) != self._host:
            raise Escaped(f"changed in the host's tree: {', '.join(sorted(host - self._host))}")

    def _plant(self) -> None:
        for name in ("canary", "beside/canary", "beside/etc/passwd", "work/canary", "etc/canary"):
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("untouched")
        (self.folder / "beside" / "link").symlink_to("canary")


def _looks(folder: Path) -> dict[str, tuple[object, ...]]:
    """Map each name to its mode, owner, time of change, links and content, except the target and
    the input.
    """
    found: dict[str, tuple[object, ...]] = {}
    for top, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(top) / name
            shown = str(path.relative_to(folder))
            if shown in {"work/target", "input"}:
                continue
            status = path.lstat()
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            # The target is created and removed in it.
            moment = 0 if shown == "work" else status.st_mtime_ns
            links = 0 if path.is_dir() else status.st_nlink
            found[shown] = (status.st_mode, status.st_uid, status.st_gid, moment, links, content)
        if top.endswith("/work") and "target" in folders:
            folders.remove("target")
    return found


def _names(folder: Path) -> set[str]:
    return {
        f"{top}/{name}" for top, folders, files in os.walk(folder) for name in [*folders, *files]
    }
