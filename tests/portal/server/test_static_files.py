"""Static files have hashed names and long caching; files and pages are compressed."""

import gzip
import json
import os
import runpy
from pathlib import Path

import pytest
from django.conf import settings as portal_settings
from django.contrib.staticfiles.storage import staticfiles_storage
from django.test import Client
from pytest_django.fixtures import Settings

from portal.server import static_files

MANIFEST_STORAGE = "whitenoise.storage.CompressedManifestStaticFilesStorage"


@pytest.fixture
def collected(settings: Settings, tmp_path: Path) -> Path:
    """Collect sample files with the settings of a portal that has not collected any."""
    source = tmp_path / "source"
    (source / "fonts").mkdir(parents=True)
    (source / "portal.css").write_text("@font-face { src: url(fonts/text.woff2) }\n" * 50)
    (source / "portal.js").write_text("console.log(1)\n" * 50)
    for name in ("favicon.svg", "icons.svg", "fonts/geist-latin.woff2", "fonts/text.woff2"):
        (source / name).write_bytes(b"x" * 500)
    settings.STATICFILES_DIRS = [source]
    settings.STATIC_ROOT = tmp_path / "static"
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    static_files.collect()
    return settings.STATIC_ROOT


def test_the_first_collection_writes_hashed_and_compressed_files(collected: Path) -> None:
    paths = json.loads((collected / "staticfiles.json").read_text())["paths"]
    style = paths["portal.css"]
    assert style != "portal.css"
    assert paths["fonts/text.woff2"].encode() in (collected / style).read_bytes()
    assert (
        gzip.decompress((collected / f"{style}.gz").read_bytes())
        == (collected / style).read_bytes()
    )


def test_a_page_uses_the_hashed_files_and_they_are_cached_permanently(
    collected: Path, settings: Settings
) -> None:
    settings.STORAGES = {**settings.STORAGES, "staticfiles": {"BACKEND": MANIFEST_STORAGE}}
    settings.WHITENOISE_USE_FINDERS = False
    client = Client(headers={"Accept-Encoding": "gzip"})
    page = gzip.decompress(client.get("/sign-in").content).decode()
    address = staticfiles_storage.url("portal.css")
    assert f'href="{address}"' in page
    answer = client.get(address)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Cache-Control"] == "max-age=315360000, public, immutable"


@pytest.mark.parametrize(
    ("built_later", "backend"),
    [(False, MANIFEST_STORAGE), (True, "django.contrib.staticfiles.storage.StaticFilesStorage")],
)
def test_the_settings_use_hashed_names_until_the_next_build(
    tmp_path: Path, built_later: bool, backend: str
) -> None:
    package = tmp_path / "platform" / "portal"
    dist, static = package / "static" / "dist", tmp_path / "build" / "static"
    for folder in (dist, static):
        folder.mkdir(parents=True)
    source = portal_settings.ROOT / "platform" / "portal" / "settings.py"
    (package / "settings.py").write_text(source.read_text())
    (static / "staticfiles.json").write_text("{}")
    (dist / "portal.css").write_text("")
    os.utime(dist / "portal.css", (0, 4e9 if built_later else 0))
    found = runpy.run_path(str(package / "settings.py"))
    assert found["STORAGES"]["staticfiles"] == {"BACKEND": backend}


@pytest.mark.parametrize(
    ("site", "secure", "encoding"),
    [
        ("same-origin", True, "gzip"),
        ("none", True, "gzip"),
        ("same-site", True, None),  # an app on a subdomain
        ("cross-site", True, None),
        (None, True, None),
        (None, False, "gzip"),  # without TLS there is nothing to guess
    ],
)
def test_with_https_only_pages_that_no_other_site_has_requested_are_compressed(
    settings: Settings, site: str | None, secure: bool, encoding: str | None
) -> None:
    settings.SECURE = secure
    headers = {"Accept-Encoding": "gzip"} | ({"Sec-Fetch-Site": site} if site else {})
    answer = Client(headers=headers).get("/sign-in")
    assert answer.status_code == 200
    assert answer.headers.get("Content-Encoding") == encoding


def test_the_length_of_a_compressed_page_varies_by_chance() -> None:
    client = Client(headers={"Accept-Encoding": "gzip"})
    assert len({len(client.get("/sign-in").content) for _ in range(12)}) > 1


def test_the_description_of_the_api_is_not_compressed() -> None:
    answer = Client(headers={"Accept-Encoding": "gzip"}).get("/api/openapi.json")
    assert answer.status_code == 200
    assert "Content-Encoding" not in answer.headers
