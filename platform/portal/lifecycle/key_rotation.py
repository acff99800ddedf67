"""Encrypt every config var with the newest key."""

from __future__ import annotations

from django.db import transaction

from portal.apps import secrets
from portal.apps.models import ConfigVar, GeneratedSecret
from portal.builds.models import Build, Repository
from portal.domains.models import DomainCertificate
from portal.releases.models import Release


@transaction.atomic
def reencrypt_all() -> int:
    """Encrypt all config vars with the first key, including those of releases. Return the number of
    rows."""
    count = 0
    for var in ConfigVar.objects.select_for_update():
        ConfigVar.objects.filter(pk=var.pk).update(
            encrypted_value=secrets.rotate(var.encrypted_value)
        )
        count += 1
    for drawn in GeneratedSecret.objects.select_for_update():
        GeneratedSecret.objects.filter(pk=drawn.pk).update(
            encrypted_value=secrets.rotate(drawn.encrypted_value)
        )
        count += 1
    for handed in DomainCertificate.objects.select_for_update().exclude(encrypted_upload=None):
        DomainCertificate.objects.filter(pk=handed.pk).update(
            encrypted_upload=secrets.rotate(handed.encrypted_upload or b"")
        )
        count += 1
    for build in Build.objects.select_for_update().exclude(encrypted_credentials=None):
        Build.objects.filter(pk=build.pk).update(
            encrypted_credentials=secrets.rotate(build.encrypted_credentials or b"")
        )
        count += 1
    for repository in Repository.objects.select_for_update().exclude(encrypted_token=None):
        Repository.objects.filter(pk=repository.pk).update(
            encrypted_token=secrets.rotate(repository.encrypted_token or b"")
        )
        count += 1
    for release in Release.objects.select_for_update():
        Release.objects.filter(pk=release.pk).update(
            encrypted_config=secrets.rotate(release.encrypted_config)
        )
        count += 1
    return count
