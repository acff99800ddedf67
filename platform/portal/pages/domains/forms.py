"""Forms for domains. They parse input; the actions check permissions and rules."""

from __future__ import annotations

from django import forms

_PLAIN = {"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}
_PEM = {**_PLAIN, "rows": 4, "class": "input mono"}


class DomainForm(forms.Form):
    """Input for a new domain."""

    host = forms.CharField(
        label="Domain",
        max_length=300,
        help_text="For example shop.example.com, or *.example.com for all names one level below.",
        widget=forms.TextInput(attrs=_PLAIN),
    )


class CertificateForm(forms.Form):
    """Input for an uploaded certificate."""

    chain = forms.CharField(
        label="Certificate and chain",
        help_text="PEM: first the certificate of the domain, then the certificate of its issuer.",
        widget=forms.Textarea(attrs={**_PEM, "placeholder": "-----BEGIN CERTIFICATE-----"}),
    )
    key = forms.CharField(
        label="Private key",
        help_text="PEM, without a password. Only the router can read it. It is never shown again.",
        widget=forms.Textarea(attrs={**_PEM, "placeholder": "-----BEGIN PRIVATE KEY-----"}),
    )


class AddressForm(forms.Form):
    """The canonical host of an app, and its redirects."""

    canonical_host = forms.ChoiceField(
        label="Canonical host", required=False, widget=forms.Select(attrs={"class": "input"})
    )
    https_only = forms.BooleanField(label="Redirect HTTP to HTTPS", required=False)
    hsts_seconds = forms.IntegerField(
        label="HSTS in seconds",
        help_text=(
            "How long browsers remember to use HTTPS. 0: off. Start with a small value: browsers"
            " keep it until it expires."
        ),
    )

    def __init__(self, *args: object, hosts: tuple[str, ...], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # passed on unchanged
        choices = [
            ("", "none (all hosts are served)"),
            *((host, host) for host in hosts if not host.startswith("*")),
        ]
        self.fields["canonical_host"].choices = choices  # type: ignore[attr-defined]  # it is a ChoiceField
