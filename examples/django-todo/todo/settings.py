"""Settings. Those that differ between machines are config vars: DATABASE_URL, SECRET_KEY."""

import os
import secrets
import tempfile

import dj_database_url

# Without DATABASE_URL the tasks are in a file of this instance, and are lost with it: the page says so.
DATABASE_URL = os.environ.get("DATABASE_URL", "")
DATABASES = {
    "default": dj_database_url.parse(
        DATABASE_URL or f"sqlite:///{tempfile.gettempdir()}/todo.sqlite3"
    )
}

# Signs the form token. Without SECRET_KEY each start creates a key, and forms that were opened before must be loaded again.
SECRET_KEY = os.environ.get("SECRET_KEY") or secrets.token_urlsafe(40)

DEBUG = False
ALLOWED_HOSTS = ["*"]  # the router sends only requests for this app's hosts
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
INSTALLED_APPS = ["todo"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
ROOT_URLCONF = "todo.urls"
WSGI_APPLICATION = "todo.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
LOGGING = {
    "version": 1,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "INFO"},
}
