"""Where an example works, and how a change outside of it is seen: canaries beside it, and the layer over the host's files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

CHANGED = Path("/mnt/changed")  # of root.sh: what was changed in the host's tree


class Escaped(AssertionError):
    """An example changed something outside of its folder."""


class Sandbox:
    """`target` is for the example; everything beside it must stay as it is. `reset` before each example, `check` after it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.target = folder / "work" / "target"
        self.input = folder / "input"
        self._host = _names(CHANGED)
        self._plant()
        self._planted = _looks(folder)

    def reset(self) -> None:
        """An absent target, in an empty work folder."""
        shutil.rmtree(self.target, ignore_errors=True)
        if os.path.lexists(self.target):
            self.target.unlink()
        self.input.unlink(missing_ok=True)

    def check(self) -> None:
        """Escaped names what was changed."""
        found = _looks(self.folder)
        if found != self._planted:
            changed = sorted({name for name, _ in found.items() ^ self._planted.items()})
            raise Escaped(f"changed beside the target: {', '.join(changed)}")
        if (host := _names(CHANGED)) != self._host:
            raise Escaped(f"changed in the host's tree: {', '.join(sorted(host - self._host))}")

    def _plant(self) -> None:
        for name in ("canary", "beside/canary", "beside/etc/passwd", "work/canary", "etc/canary"):
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("untouched")
        (self.folder / "beside" / "link").symlink_to("canary")


def _looks(folder: Path) -> dict[str, tuple[object, ...]]:
    """Name to kind, mode, owner, time of change and content, of all but the target and the input."""
    found: dict[str, tuple[object, ...]] = {}
    for top, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(top) / name
            shown = str(path.relative_to(folder))
            if shown in {"work/target", "input"}:
                continue
            status = path.lstat()
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            moment = 0 if shown == "work" else status.st_mtime_ns  # the target comes and goes in it
            links = 0 if path.is_dir() else status.st_nlink
            found[shown] = (status.st_mode, status.st_uid, status.st_gid, moment, links, content)
        if top.endswith("/work") and "target" in folders:
            folders.remove("target")
    return found


def _names(folder: Path) -> set[str]:
    return {f"{top}/{name}" for top, folders, files in os.walk(folder) for name in [*folders, *files]}
