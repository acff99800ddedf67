"""The audit log."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from portal.accounts.models import Team


class AuditEntry(models.Model):
    """A change by a person, in words. Written in the same transaction as the change."""

    at = models.DateTimeField(auto_now_add=True)
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    team = models.ForeignKey(Team, null=True, on_delete=models.SET_NULL, related_name="audit")
    app_name = models.CharField(max_length=40, blank=True)
    text = models.CharField(max_length=300)  # "scaled web to 3"

    class Meta:
        ordering = ("-at", "-id")
