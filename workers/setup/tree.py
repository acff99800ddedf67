"""The places of this checkout, and the stamps that let set-up skip what is done already."""

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
    """SHA-256 over names and contents, in an order of its own."""
    digest = hashlib.sha256("\0".join(words).encode())
    for path in sorted(paths):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def is_done(stamp: Path, print_: str) -> bool:
    return stamp.exists() and stamp.read_text() == print_


def mark_done(stamp: Path, print_: str) -> None:
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(print_)
