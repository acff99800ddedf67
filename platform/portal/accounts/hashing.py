"""Hash passwords one at a time per process, in a thread of lower priority than the request threads.

A hash takes a third of a second of a core by design. Without this, many simultaneous sign-ins would
use all cores.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from django.contrib.auth.hashers import PBKDF2PasswordHasher

from portal.errors import TooManyRequests

_NICENESS = 10
_MOST = 24  # the most that are being hashed or wait
_slots = threading.BoundedSemaphore(_MOST)


class QueuedHasher(PBKDF2PasswordHasher):
    """Django's PBKDF2, one password at a time. Raises TooManyRequests if too many wait already."""

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        if not _slots.acquire(blocking=False):
            raise TooManyRequests(
                "Too many people are signing in at the moment.",
                hint="Try again in a few seconds.",
                retry_after=5,
            )
        try:
            return _executor().submit(super().encode, password, salt, iterations).result()
        finally:
            _slots.release()


@cache
def _executor() -> ThreadPoolExecutor:
    """Create the thread at the first password, in the process that hashes it."""
    return ThreadPoolExecutor(1, thread_name_prefix="passwords", initializer=_lower_priority)


def _lower_priority() -> None:
    """Lower the priority of this thread. On Linux each thread has its own nice value
    (setpriority(2), "C library/kernel differences")."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
