"""The real database connection, and settings from the environment."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection, transaction

NOBODY = 65534


@pytest.mark.django_db(transaction=True)
def test_sqlite_uses_wal_syncs_and_waits() -> None:
    with connection.cursor() as cursor:
        found = {
            name: cursor.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        }
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,
        "busy_timeout": 20000,
        "foreign_keys": 1,
    }


@pytest.mark.django_db(transaction=True)
def test_a_transaction_holds_the_write_lock_from_its_beginning() -> None:
    other = sqlite3.connect(connection.settings_dict["NAME"], timeout=0)
    with transaction.atomic(), pytest.raises(sqlite3.OperationalError, match="locked"):
        connection.ensure_connection()
        other.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    other.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can write as somebody else")
def test_the_portals_user_can_write_to_files_that_root_created(tmp_path: Path) -> None:
    """SQLite gives -wal and -shm files of root to the owner of the database (os_unix.c,
    robustFchown)."""
    os.chown(tmp_path, NOBODY, NOBODY)
    for folder in tmp_path.parents:
        if folder != Path("/tmp"):  # pytest's own folders are not accessible for others
            folder.chmod(folder.stat().st_mode | 0o711) if str(folder).startswith("/tmp/") else None
    code = """
import os, sqlite3, sys
if sys.argv[2] == "nobody": os.setgid(65534); os.setuid(65534)
rows = sqlite3.connect(sys.argv[1])
rows.execute("PRAGMA journal_mode=WAL"); rows.execute("CREATE TABLE IF NOT EXISTS t (x)"); rows.execute("INSERT INTO t VALUES (1)"); rows.commit()
print(sorted((name, os.stat(os.path.join(os.path.dirname(sys.argv[1]), name)).st_uid) for name in os.listdir(os.path.dirname(sys.argv[1]))))
os._exit(0)  # as if killed: the files stay
"""  # noqa: E501
    for who in ("nobody", "root", "nobody", "root", "nobody"):
        done = subprocess.run(
            ("/usr/bin/python3", "-c", code, str(tmp_path / "db"), who),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{who}: {done.stderr}"
        for path in tmp_path.iterdir():
            assert path.stat().st_uid == NOBODY, path
        if who == "nobody":
            for path in tmp_path.glob("db-*"):
                path.unlink()  # so that root creates them again


def settings_with(**environment: str) -> str:
    code = """
import portal.settings as s
print(s.DATABASES["default"]["ENGINE"], s.DATABASES["default"].get("OPTIONS"), s.BROKER_URL, s.REDIS_CLIENT_URL, s.PORTAL_URL, s.SESSION_COOKIE_NAME)
"""  # noqa: E501
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SLIPWAY_", "DATABASE_", "REDIS_"))
    }
    done = subprocess.run(
        (sys.executable, "-c", code),
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_postgresql_gets_no_options_of_sqlite() -> None:
    assert settings_with(DATABASE_URL="postgres://u:p@db.internal/slipway").startswith(
        "django.db.backends.postgresql None "
    )


def test_redis_is_on_our_own_socket_by_default() -> None:
    assert "redis+socket:///srv/run/redis.sock unix:///srv/run/redis.sock" in settings_with(
        SLIPWAY_RUN="/srv/run"
    )
    assert "redis://box:6379/1 redis://box:6379/1" in settings_with(REDIS_URL="redis://box:6379/1")


def test_over_https_cookies_are_bound_to_the_portals_host() -> None:
    found = settings_with(
        SLIPWAY_SCHEME="https", SLIPWAY_HTTP_PORT="443", SLIPWAY_PORTAL_HOST="slipway.example.com"
    )
    assert found.endswith("https://slipway.example.com __Host-slipway-session")


def test_urls_have_the_port_of_our_own_https() -> None:
    ours = {
        "SLIPWAY_SCHEME": "https",
        "SLIPWAY_HTTP_PORT": "80",
        "SLIPWAY_PORTAL_HOST": "slipway.example.com",
    }
    assert "https://slipway.example.com __Host" in settings_with(SLIPWAY_HTTPS_PORT="443", **ours)
    assert "https://slipway.example.com:8443 __Host" in settings_with(
        SLIPWAY_HTTPS_PORT="8443", **ours
    )
    assert "https://slipway.example.com:80 __Host" in settings_with(**ours), (
        "the proxy in front of us uses its own port"
    )
