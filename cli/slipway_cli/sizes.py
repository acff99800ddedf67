"""Amounts of bytes as people write them."""

from __future__ import annotations

import re

from slipway_cli.errors import CommandFailed, ExitCode

_UNITS = {"": 2**20, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def bytes_from(text: str) -> int:
    """Return the bytes of `512M`, `1.5G` or `1TiB` (binary units). A bare number is in MiB.

    Raise CommandFailed for anything else.
    """
    amount = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([kmgt]?)(?:i?b)?", text.strip().lower())
    if amount is None:
        raise CommandFailed(
            f"{text!r} is not a size.",
            hint="Write a number with K, M, G or T, for example 512M.",
            code=ExitCode.USAGE,
        )
    return int(float(amount[1]) * _UNITS[amount[2]])
