"""Domains of people's own that lead to apps, and the certificates that browsers are shown for them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from portal.apps.models import App


class DomainState(models.TextChoices):
    WAITING = "waiting", "Waiting for proof"  # looked for again and again
    VERIFIED = "verified", "Verified"  # leads to the app
    FAILED = "unproven", "Not proven"  # given up, until somebody asks again


class Domain(models.Model):
    """A host name that an app wants. It leads there once somebody has shown that they rule over it; only one app's can be verified."""

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="domains")
    host = models.CharField(max_length=253)  # lower case; `*.example.com` for all names one level below
    token = models.CharField(max_length=64)  # what the DNS record or the file has to say
    state = models.CharField(max_length=8, choices=DomainState.choices, default=DomainState.WAITING)
    reason = models.TextField(blank=True)  # what the last look saw, unless it saw the proof
    tries = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    asked_at = models.DateTimeField()  # by a person, last; looking ends some days later
    checked_at = models.DateTimeField(null=True, blank=True)
    next_check_at = models.DateTimeField(null=True, blank=True, db_index=True)  # null: not looked for any more

    class Meta:
        ordering = ("host",)
        constraints = (
            models.UniqueConstraint(fields=("app", "host"), name="one_domain_an_app_and_host"),
            models.UniqueConstraint(fields=("host",), condition=Q(state="verified"), name="one_verified_domain_a_host"),
        )

    def __str__(self) -> str:
        return self.host

    @property
    def wildcard(self) -> bool:
        """Whether it stands for all names one level below another."""
        return self.host.startswith("*.")


class CertificateState(models.Model):
    """What is known of a certificate that browsers are shown for one host. It lies with the router, and its key there alone."""

    issuer = models.CharField(max_length=300, blank=True)
    names = models.JSONField(default=list)
    not_after = models.DateTimeField(null=True, blank=True)  # null: browsers are shown none for this host
    reason = models.TextField(blank=True)  # why the last order or upload came to nothing
    tries = models.PositiveIntegerField(default=0)  # that failed since the last success
    next_try_at = models.DateTimeField(null=True, blank=True, db_index=True)  # null: nothing is to be done
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True


class DomainCertificate(CertificateState):
    """A custom domain's: ordered, or uploaded by somebody; an uploaded key passes here encrypted, once."""

    domain = models.OneToOneField(Domain, on_delete=models.CASCADE, related_name="certificate")
    uploaded = models.BooleanField(default=False)  # somebody looks after it themselves: none is ordered
    encrypted_upload = models.BinaryField(null=True, blank=True)  # chain and key, until a worker has taken them


class OwnCertificate(CertificateState):
    """Of a name that this Slipway itself gives: the portal's, an app's below the base domain, or the wildcard for all of those."""

    host = models.CharField(max_length=253, unique=True)
