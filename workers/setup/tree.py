"""The paths of this checkout, and the stamps by which set-up skips finished work."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
MANAGE = ROOT / "manage.py"
ENV = ROOT / ".env"


def fingerprint(paths: Iterable[Path], *words: str) -> str:
    """Return the SHA-256 of names and contents. The order of the paths does not matter."""
    digest = hashlib.sha256("\0".join(words).encode())
    for path in sorted(paths):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def is_done(stamp: Path, expected: str) -> bool:
    return stamp.exists() and stamp.read_text() == expected


def mark_done(stamp: Path, expected: str) -> None:
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(expected)
