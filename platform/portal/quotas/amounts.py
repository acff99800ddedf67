"""Format millicores, bytes and bits per second for the portal's messages."""

from __future__ import annotations

from runtime.contract.quantities import Bytes, Millicores


def cpu(millicores: int) -> str:
    """Format CPU: 1500 is "1.5 CPU"."""
    return str(Millicores(millicores))


def size(count: int) -> str:
    """Format bytes: 1610612736 is "1.5 GiB"."""
    return str(Bytes(count))


def rate(bits: int) -> str:
    """Format a rate: 10000000 is "10 Mbit/s"."""
    amount = float(bits)
    for unit in ("bit/s", "kbit/s", "Mbit/s"):
        if amount < 1000:
            return f"{amount:g} {unit}"
        amount /= 1000
    return f"{amount:g} Gbit/s"


def limit(name: str, amount: int) -> str:
    """Format the amount of a limit: `memory` or `memory_per_instance` in bytes, `cpu` in
    millicores, the others as counts."""
    if name.startswith(("memory", "disk")):
        return size(amount)
    return cpu(amount) if name.startswith("cpu") else number(amount)


def number(count: int) -> str:
    """Format a count without a unit."""
    return str(count)
