"""Detect changes of the database, to cache values until the next change.

SQLite counts the commits of other connections (sqlite.org/pragma.html#pragma_data_version), and
reading the count takes microseconds. PostgreSQL has no such count, so nothing is cached there.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import cache
from pathlib import Path
from typing import Generic, TypeVar

from django.conf import settings
from django.db import connection

T = TypeVar("T")


class DatabaseCache(Generic[T]):
    """A cache of values by key. Each is computed once per version of the database. The oldest are
    dropped first."""

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Hashable, tuple[int, T]] = OrderedDict()
        self._lock = threading.Lock()
        self._turns = [threading.Lock() for _ in range(16)]

    def get(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return the value of `key`. Callers share the value and must not change it."""
        # the count does not include changes of this transaction
        version = None if connection.in_atomic_block else _watcher().version()
        if version is None:
            return compute()
        kept = self._values.get(key)
        if kept is not None and kept[0] == version:
            return kept[1]
        with self._turn_of(key):  # simultaneous requests compute it only once
            kept = self._values.get(key)
            if kept is not None and kept[0] == version:
                return kept[1]
            value = compute()
            self._keep(key, version, value)
            return value

    def _keep(self, key: Hashable, version: int, value: T) -> None:
        with self._lock:
            self._values[key] = (version, value)
            self._values.move_to_end(key)
            while len(self._values) > self._most:
                self._values.popitem(last=False)

    def _turn_of(self, key: Hashable) -> threading.Lock:
        return self._turns[hash(key) % len(self._turns)]


class Watcher:
    """A connection that only reads the version. The count is specific to this connection."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def version(self) -> int | None:
        """Return the current version, or None if it cannot be read, for example before the database
        exists."""
        try:
            with self._lock:
                if self._connection is None:
                    self._connection = sqlite3.connect(
                        f"{self._path.as_uri()}?mode=ro",
                        uri=True,
                        check_same_thread=False,
                        timeout=5,
                    )
                return int(self._connection.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.OperationalError:
            return None


class NoWatcher:
    """Used for a database without a version."""

    def version(self) -> int | None:
        return None


@cache
def _watcher() -> Watcher | NoWatcher:
    """Return the watcher of this process.

    It is created at the first call, because a connection must not be used after a fork
    (sqlite.org/howtocorrupt).
    """
    database = settings.DATABASES["default"]
    return (
        Watcher(Path(database["NAME"])) if database["ENGINE"].endswith("sqlite3") else NoWatcher()
    )
