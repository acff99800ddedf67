"""Passwords are hashed one at a time in each process, by a thread with a lower priority than those that answer requests.

A hash takes a third of a second of a core by design; a crowd that signs in would otherwise have all of them.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from django.contrib.auth.hashers import PBKDF2PasswordHasher

from portal.errors import TooManyRequests

_NICENESS = 10
_MOST = 24  # being hashed or waiting
_places = threading.BoundedSemaphore(_MOST)


class PatientHasher(PBKDF2PasswordHasher):
    """Django's PBKDF2, in turn. TooManyRequests: too many wait already."""

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        if not _places.acquire(blocking=False):
            raise TooManyRequests("Too many people sign in at this moment.", hint="Try again in some seconds.", retry_after=5)
        try:
            return _executor().submit(super().encode, password, salt, iterations).result()
        finally:
            _places.release()


@cache
def _executor() -> ThreadPoolExecutor:
    """Made at the first password, in the process that hashes it."""
    return ThreadPoolExecutor(1, thread_name_prefix="passwords", initializer=_step_back)


def _step_back() -> None:
    """A thread has a nice value of its own on Linux (setpriority(2), "C library/kernel differences")."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
