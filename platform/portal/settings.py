"""Django's settings, and the portal's only reader of the environment. Each variable is explained in .env.example."""

from __future__ import annotations

import os
from pathlib import Path

import dj_database_url

ROOT = Path(__file__).resolve().parents[2]

STATE = Path(os.environ.get("SLIPWAY_STATE") or "/var/lib/slipway")
RUN = Path(os.environ.get("SLIPWAY_RUN") or "/run/slipway")
SCHEME = os.environ.get("SLIPWAY_SCHEME") or "http"
HTTP_PORT = int(os.environ.get("SLIPWAY_HTTP_PORT") or 8080)
PORTAL_HOST = os.environ.get("SLIPWAY_PORTAL_HOST") or "localhost"
BASE_DOMAIN = os.environ.get("SLIPWAY_BASE_DOMAIN") or "slipway.localhost"

SOURCES = STATE / "sources"
REPOSITORIES = STATE / "git"
APP_LOGS = STATE / "logs" / "apps"
BUILD_LOGS = STATE / "logs" / "builds"
SECRETS = STATE / "secrets"

REDIS_URL = os.environ.get("REDIS_URL") or f"redis+socket://{RUN}/redis.sock"

DEBUG = False
ALLOWED_HOSTS = [PORTAL_HOST, "localhost", "127.0.0.1", "[::1]"]
_port = "" if HTTP_PORT == {"http": 80, "https": 443}[SCHEME] else f":{HTTP_PORT}"
PORTAL_URL = f"{SCHEME}://{PORTAL_HOST}{_port}"
CSRF_TRUSTED_ORIGINS = [f"{SCHEME}://{host}{_port}" for host in (PORTAL_HOST, "localhost", "127.0.0.1")]

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "portal.accounts",
    "portal.quotas",
    "portal.apps",
    "portal.builds",
    "portal.releases",
    "portal.gitserver",
    "portal.activity",
    "portal.api",
]
AUTH_USER_MODEL = "accounts.Person"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "portal.urls"
ASGI_APPLICATION = "portal.asgi.application"
USE_TZ = True
TIME_ZONE = "UTC"

DATABASES = {"default": dj_database_url.parse(os.environ.get("DATABASE_URL") or f"sqlite:///{STATE}/db/slipway.sqlite3", conn_max_age=0)}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # IMMEDIATE takes the write lock when a transaction begins, so a decision read in it holds (sqlite.org/lang_transaction).
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=20000;",
    }
