"""Django's settings. Only this module of the portal reads the environment. .env.example explains
each variable."""

from __future__ import annotations

import os
from pathlib import Path

import dj_database_url

from portal import environment

ROOT = Path(__file__).resolve().parents[2]
# so that an entry point needs only this import
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
_given = environment.read(os.environ)


def _secret(name: str) -> list[str]:
    """Return the lines of a secret file, newest first. Empty before `manage.py make_secrets` was
    run."""
    path = SECRETS / name
    return path.read_text("ascii").split() if path.exists() else []


# --- Paths ----------------------------------------------------------------------------------------
STATE = _given.state
RUN = _given.run
USER = _given.user
SCHEME = _given.scheme
HTTP_PORT = _given.http_port
# 0: the platform itself does not serve HTTPS
HTTPS_PORT = _given.https_port
ACME_DNS_HOOK = _given.acme_dns_hook
PORTAL_HOST = _given.portal_host.lower()
BASE_DOMAIN = _given.base_domain.lower()

DISK_FULL = _given.disk_full  # percent
KEPT_RELEASES = max(_given.kept_releases, 1)

SOURCES = STATE / "sources"
REPOSITORIES = STATE / "git"
APP_LOGS = STATE / "logs" / "apps"
BUILD_LOGS = STATE / "logs" / "builds"
SECRETS = STATE / "secrets"
DOWNLOADS = STATE / "downloads"  # archives of images, created by workers and kept for an hour
REGISTRY = STATE / "registry"
# bodies and uploads while they arrive; on the same filesystem as SOURCES, so that a rename
# completes them
INCOMING = SOURCES / "incoming"

REDIS_URL = _given.redis_url or f"redis+socket://{RUN}/redis.sock"
BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1)  # in Celery's form of a socket URL
REDIS_CLIENT_URL = REDIS_URL.replace("redis+socket://", "unix://", 1)  # in the form of redis-py

# --- Keys, addresses and sessions -----------------------------------------------------------------
DEBUG = False
SECRET_KEY, *SECRET_KEY_FALLBACKS = _secret("django.key") or [""]
CONFIG_KEYS = _secret("config.key")  # Fernet keys; the first encrypts, all decrypt

ALLOWED_HOSTS = [PORTAL_HOST, "localhost", "127.0.0.1", "[::1]"]
_standard = {"http": 80, "https": 443}
# otherwise a proxy in front of the platform handles HTTPS, or there is none
HTTPS_OURSELVES = SCHEME == "https" and bool(HTTPS_PORT)
_port = HTTPS_PORT if HTTPS_OURSELVES else HTTP_PORT
PORT_IN_URLS = "" if _standard[SCHEME] == _port else f":{_port}"
PORTAL_URL = f"{SCHEME}://{PORTAL_HOST}{PORT_IN_URLS}"
CSRF_TRUSTED_ORIGINS = [
    f"{SCHEME}://{host}{PORT_IN_URLS}"
    for host in dict.fromkeys((PORTAL_HOST, "localhost", "127.0.0.1"))
]

SECURE = SCHEME == "https"
if SECURE:
    # only the router can connect to our socket, and it sets this header itself
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 31536000
# Apps are on subdomains and could set cookies for our parent domain. Browsers accept `__Host-`
# cookies only from this exact host.
_prefix = "__Host-" if SECURE else ""
SESSION_COOKIE_NAME = f"{_prefix}slipway-session"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_NAME = f"{_prefix}slipway-csrf"
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
# scripts, styles, fonts, connections: only our own files, nothing inline
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action"
    " 'self'; frame-ancestors 'none'"
)

AUTH_USER_MODEL = "accounts.Person"
LOGIN_URL = "/sign-in"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/sign-in"
PASSWORD_HASHERS = ["portal.accounts.hashing.QueuedHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# --- Limits of requests ---------------------------------------------------------------------------
MAX_UPLOAD = 2**30  # for one archive or one push
MAX_FORM = 2**20  # for any other body
MAX_ANONYMOUS_FORM = 2**16  # for a body from an unknown sender
MAX_LAYER = 8 * 2**30  # for one blob pushed to the registry
# the number of processes that handle requests; set by the process manager
WORKERS = _given.portal_workers
# for one person in each process
MAX_OPEN_BODIES = max(2 * MAX_UPLOAD // WORKERS, MAX_UPLOAD + 2 * MAX_FORM)
PERSON_PER_SECOND = _given.person_per_second  # requests
TOKEN_PER_SECOND = _given.token_per_second
# for senders without sign-in
ADDRESS_PER_SECOND = _given.address_per_second
BURST_SECONDS = 5  # the size of a burst
# of one person, in one process
REQUESTS_AT_ONCE = max(_given.requests_at_once // WORKERS, 1)
STREAMS_PER_PERSON = _given.streams_per_person
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_FORM
FILE_UPLOAD_MAX_MEMORY_SIZE = 2**18
FILE_UPLOAD_HANDLERS = ["portal.builds.uploads.ArchiveUploadHandler"]
# The environment of git processes and their hooks. It contains nothing from the pusher.
GIT_ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name.startswith("SLIPWAY_")},
    **{
        name: os.environ[name]
        for name in ("DATABASE_URL", "REDIS_URL", "PATH", "PYTHONPATH", "TZ")
        if name in os.environ
    },
}
# Inside a git hook: the folder where pushed objects are in quarantine until it succeeds
# (git-receive-pack(1)).
GIT_HOOK_ENVIRONMENT = {
    name: os.environ[name]
    for name in (
        "GIT_DIR",
        "GIT_OBJECT_DIRECTORY",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_QUARANTINE_PATH",
        "GIT_CONFIG_PARAMETERS",
    )
    if name in os.environ
}
# a descriptor, inside the hook
GIT_PUSH_TAKEN = (
    int(os.environ["SLIPWAY_PUSH_TAKEN"]) if os.environ.get("SLIPWAY_PUSH_TAKEN") else None
)

# --- Programs that process tenants' data ----------------------------------------------------------
# below each control group hierarchy; root makes our user its owner
CGROUP = f"{_given.name}/portal"
# systemd's `Delegate=yes`: the group in which we were started
CGROUP_DELEGATED = os.environ.get("SLIPWAY_CGROUP_DELEGATED") == "yes"
PUSH_MEMORY = _given.push_memory * 2**20  # for one push or fetch
TEAM_PROGRAMS_MEMORY = 4 * PUSH_MEMORY  # for all programs of a team together

# --- Django applications and middleware -----------------------------------------------------------
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "portal.accounts",
    "portal.lifecycle",  # only its management commands
    "portal.quotas",
    "portal.apps",
    "portal.volumes",
    "portal.builds",
    "portal.releases",
    "portal.traffic",
    "portal.domains",
    "portal.jobs",
    "portal.images",
    "portal.gitserver",
    "portal.registry",
    "portal.activity",
    "portal.api",
    "workers",  # only by name: its management commands, including set-up
]
MIDDLEWARE = [
    "portal.server.middleware.SecurityPolicy",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "portal.server.compression.CompressPages",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "portal.server.middleware.Refusals",
    "portal.pages.recent_apps.RecentApps",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "OPTIONS": {
            "libraries": {
                "amounts": "portal.templatetags.amounts",
                "parts": "portal.templatetags.parts",
            },
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "portal.pages.sidebar.sidebar",
            ],
        },
    },
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "portal.urls"
ASGI_APPLICATION = "portal.asgi.application"
APPEND_SLASH = False
USE_TZ = True
TIME_ZONE = "UTC"

# --- Static files ---------------------------------------------------------------------------------
# After `portal.server.static_files.collect`, file names contain a hash and are cached permanently.
# Before it, for example in tests, files are served from their source folder. The same after a new
# build of the styles and scripts, until it has been collected.
STATIC_URL = "/static/"
_front_end = ROOT / "platform" / "portal" / "static" / "dist"
CLI_FOLDER = ROOT / "build" / "cli"  # the wheel that set-up builds from cli/
STATICFILES_DIRS: list[Path | tuple[str, Path]] = [
    *([_front_end] if _front_end.exists() else []),
    *([("cli", CLI_FOLDER)] if CLI_FOLDER.exists() else []),
]
STATIC_ROOT = ROOT / "build" / "static"
_manifest = STATIC_ROOT / "staticfiles.json"
_collected = _manifest.exists() and all(
    file.stat().st_mtime <= _manifest.stat().st_mtime
    for file in (*_front_end.glob("portal.*"), *CLI_FOLDER.glob("*.whl"))
)
WHITENOISE_USE_FINDERS = not _collected
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": (
            "whitenoise.storage.CompressedManifestStaticFilesStorage"
            if _collected
            else "django.contrib.staticfiles.storage.StaticFilesStorage"
        )
    },
}

# --- Database -------------------------------------------------------------------------------------
DATABASES = {
    "default": dj_database_url.parse(
        _given.database_url or f"sqlite:///{STATE}/db/slipway.sqlite3", conn_max_age=0
    )
}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # IMMEDIATE takes the write lock at the beginning of a transaction, so that a decision read in
    # it stays valid (sqlite.org/lang_transaction).
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": (
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=20000;"
        ),
    }

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{levelname} {name}: {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {"django.request": {"level": "ERROR"}, "httpx": {"level": "WARNING"}},
}
