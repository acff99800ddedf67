"""Encryption at rest, and the key files."""

import stat
from io import StringIO
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from pytest_django import Settings

from portal.apps import secrets
from portal.apps.config import config_of
from portal.apps.models import ConfigVar
from portal.builds.models import Build
from portal.lifecycle.app_actions import set_config_vars
from portal.lifecycle.key_rotation import reencrypt_all
from portal.releases.access import config_of_release
from portal.releases.models import Release
from tests.portal.conftest import People
from tests.portal.shipyard import deploy, submit_archive


def test_a_config_var_is_not_readable_in_its_row(people: People) -> None:
    app = people.app()
    set_config_vars(people.owner, app=app, changes={"PASSWORD": "swordfish"})
    stored = bytes(ConfigVar.objects.get().encrypted_value)
    assert b"swordfish" not in stored
    assert secrets.decrypt(stored) == "swordfish"


def test_a_missing_key_is_named(settings: Settings) -> None:
    ciphertext = secrets.encrypt("x")
    settings.CONFIG_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(ImproperlyConfigured, match="Put the old key back"):
        secrets.decrypt(ciphertext)
    settings.CONFIG_KEYS = []
    with pytest.raises(ImproperlyConfigured, match="make_secrets"):
        secrets.encrypt("x")


def test_rotation_encrypts_everything_with_the_newest_key(
    people: People, settings: Settings
) -> None:
    app = people.app()
    set_config_vars(people.owner, app=app, changes={"A": "1"})
    deploy(submit_archive(people.owner, app))
    assert Build.objects.exists()
    new = Fernet.generate_key().decode()
    settings.CONFIG_KEYS = [new, *settings.CONFIG_KEYS]
    assert config_of(app) == {"A": "1"}, "the old key still reads"
    assert reencrypt_all() == 2
    settings.CONFIG_KEYS = [new]
    assert config_of(app) == config_of_release(Release.objects.get()) == {"A": "1"}


def test_secrets_are_created_once_and_readable_only_by_the_portal(
    settings: Settings, tmp_path: Path
) -> None:
    settings.SECRETS = tmp_path / "secrets"
    call_command("make_secrets", stdout=StringIO())
    first = {path.name: path.read_text() for path in settings.SECRETS.iterdir()}
    assert sorted(first) == ["config.key", "django.key"]
    Fernet(first["config.key"].strip())
    assert all(
        not path.stat().st_mode & stat.S_IRWXO
        for path in (settings.SECRETS, *settings.SECRETS.iterdir())
    )
    call_command("make_secrets", stdout=StringIO())
    assert {path.name: path.read_text() for path in settings.SECRETS.iterdir()} == first
