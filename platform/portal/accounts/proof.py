"""A proof of work for the sign-in form, based on signed tickets.

The client searches for a number for each of eight parts. SHA-256 of `NONCE:PART:NUMBER` must begin
with enough zero bits. The search takes the client a while; the check takes microseconds. Eight
small puzzles take about the same time for everybody, one large puzzle would not. A ticket is valid
once, for its address, for ten minutes. A browser without scripts waits instead: half a minute after
it was created, a ticket is valid for one attempt without a proof.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import Self

from django.core import signing

from portal.networks import network_of

PARTS_BITS = 3  # eight parts
LIFE_SECONDS = 600
WAIT_SECONDS = 30
_SALT = "portal.accounts.proof"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A demand for 2 to the `bits` hashes from an address. `made` is in Unix seconds."""

    nonce: str
    bits: int
    address: str
    made: float

    @classmethod
    def make(cls, bits: int, address: str) -> Self:
        """Create a ticket that nobody can guess."""
        return cls(
            nonce=secrets.token_hex(16), bits=bits, address=network_of(address), made=time.time()
        )

    @classmethod
    def read(cls, text: str, address: str) -> Self | None:
        """Parse and verify a ticket. Return None if its signature is wrong, it is too old, or it
        has another address."""
        try:
            nonce, bits, place, made = signing.loads(text, salt=_SALT, max_age=LIFE_SECONDS)
        except (signing.BadSignature, ValueError):
            return None
        return (
            cls(nonce=nonce, bits=bits, address=place, made=made)
            if place == network_of(address)
            else None
        )

    @property
    def text(self) -> str:
        """Return the text that the form contains."""
        return signing.dumps([self.nonce, self.bits, self.address, self.made], salt=_SALT)

    @property
    def zeros(self) -> int:
        """Return the number of zero bits at the beginning of each part's hash."""
        return max(self.bits - PARTS_BITS, 1)

    @property
    def has_waited(self) -> bool:
        """Return True if the ticket is old enough to be valid without a proof."""
        return time.time() - self.made >= WAIT_SECONDS

    def is_proved_by(self, proof: str) -> bool:
        """Return True if the numbers solve all parts."""
        numbers = proof.split(",")
        return len(numbers) == 2**PARTS_BITS and all(
            self._is_solved(part, number) for part, number in enumerate(numbers)
        )

    def _is_solved(self, part: int, number: str) -> bool:
        if not (number.isascii() and number.isdigit() and len(number) <= 12):
            return False
        digest = hashlib.sha256(f"{self.nonce}:{part}:{number}".encode()).digest()
        return int.from_bytes(digest, "big") >> (256 - self.zeros) == 0
