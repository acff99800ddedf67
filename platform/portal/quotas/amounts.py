"""Format millicores, bytes and bits per second for the portal's messages."""

from __future__ import annotations


def cpu(millicores: int) -> str:
    """Format CPU: 1500 is "1.5 CPU"."""
    return f"{millicores / 1000:g} CPU"


def size(count: int) -> str:
    """Format bytes: 1610612736 is "1.5 GiB"."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if amount == int(amount) else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def rate(bits: int) -> str:
    """Format a rate: 10000000 is "10 Mbit/s"."""
    amount = float(bits)
    for unit in ("bit/s", "kbit/s", "Mbit/s"):
        if amount < 1000:
            return f"{amount:g} {unit}"
        amount /= 1000
    return f"{amount:g} Gbit/s"


def number(count: int) -> str:
    """Format a count without a unit."""
    return str(count)
