"""Custom domains of apps, and the certificates that browsers get for them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from portal.apps.models import App


class DomainState(models.TextChoices):
    WAITING = "waiting", "Waiting for verification"  # checked repeatedly
    VERIFIED = "verified", "Verified"  # serves the app
    FAILED = "unproven", "Not verified"  # automatic checks have ended; a person can ask for another


class Domain(models.Model):
    """A hostname for an app. It serves the app when somebody has proven to own it. Only one app can
    have it verified."""

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="domains")
    host = models.CharField(
        max_length=253
    )  # lower case; `*.example.com` for all names one level below
    token = models.CharField(max_length=64)  # the content of the DNS record or the file
    state = models.CharField(max_length=8, choices=DomainState.choices, default=DomainState.WAITING)
    reason = models.TextField(blank=True)  # the result of the last check, unless it succeeded
    tries = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    # the last time a person asked for a check; automatic checks end some days later
    asked_at = models.DateTimeField()
    checked_at = models.DateTimeField(null=True, blank=True)
    # null: not checked any more
    next_check_at = models.DateTimeField(null=True, blank=True, db_index=True)

    class Meta:
        ordering = ("host",)
        constraints = (
            models.UniqueConstraint(fields=("app", "host"), name="one_domain_an_app_and_host"),
            models.UniqueConstraint(
                fields=("host",), condition=Q(state="verified"), name="one_verified_domain_a_host"
            ),
        )

    def __str__(self) -> str:
        return self.host

    @property
    def wildcard(self) -> bool:
        """Return True if it is a wildcard for all names one level below another name."""
        return self.host.startswith("*.")


class CertificateState(models.Model):
    """The state of a certificate for one host. The router has the certificate, and only the router
    has its key."""

    issuer = models.CharField(max_length=300, blank=True)
    names = models.JSONField(default=list)
    # null: there is no certificate for this host
    not_after = models.DateTimeField(null=True, blank=True)
    reason = models.TextField(blank=True)  # why the last order or upload failed
    tries = models.PositiveIntegerField(default=0)  # failed attempts since the last success
    # null: there is nothing to do
    next_try_at = models.DateTimeField(null=True, blank=True, db_index=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True


class DomainCertificate(CertificateState):
    """The certificate of a custom domain, ordered or uploaded. An uploaded key is stored here
    encrypted until a worker takes it."""

    domain = models.OneToOneField(Domain, on_delete=models.CASCADE, related_name="certificate")
    uploaded = models.BooleanField(default=False)  # a person renews it: none is ordered
    encrypted_upload = models.BinaryField(
        null=True, blank=True
    )  # chain and key, until a worker has taken them


class OwnCertificate(CertificateState):
    """The certificate of a name of this Slipway: the portal's, an app's default hostname, or the
    wildcard for all of those."""

    host = models.CharField(max_length=253, unique=True)
