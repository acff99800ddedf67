"""Millicores and bytes as people read them in the portal's sentences."""

from __future__ import annotations


def cpu(millicores: int) -> str:
    """1500 is "1.5 CPU"."""
    return f"{millicores / 1000:g} CPU"


def size(count: int) -> str:
    """1610612736 is "1.5 GiB"."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if amount == int(amount) else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def number(count: int) -> str:
    """Just so."""
    return str(count)
