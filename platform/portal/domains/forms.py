"""Forms of domains. They shape input; actions decide what may be."""

from __future__ import annotations

from django import forms

_PLAIN = {"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}
_PEM = {**_PLAIN, "rows": 4, "class": "input mono"}


class DomainForm(forms.Form):
    """One more domain."""

    host = forms.CharField(
        label="Domain",
        max_length=300,
        help_text="For example shop.example.com, or *.example.com for all names one level below.",
        widget=forms.TextInput(attrs=_PLAIN),
    )


class CertificateForm(forms.Form):
    """A certificate of one's own."""

    chain = forms.CharField(
        label="Certificate and chain",
        help_text="PEM: the domain's certificate first, then its issuer's.",
        widget=forms.Textarea(attrs={**_PEM, "placeholder": "-----BEGIN CERTIFICATE-----"}),
    )
    key = forms.CharField(
        label="Private key",
        help_text="PEM, without a password. It is kept where only the router reads it, and never shown again.",
        widget=forms.Textarea(attrs={**_PEM, "placeholder": "-----BEGIN PRIVATE KEY-----"}),
    )


class AddressForm(forms.Form):
    """Which of the app's hosts visitors end up at, and how."""

    canonical_host = forms.ChoiceField(label="Visitors end up at", required=False, widget=forms.Select(attrs={"class": "input"}))
    https_only = forms.BooleanField(label="HTTP leads to HTTPS", required=False)
    hsts_seconds = forms.IntegerField(
        label="Seconds for which browsers remember HTTPS", help_text="HSTS. 0: not at all. Begin small: it cannot be taken back sooner."
    )

    def __init__(self, *args: object, hosts: tuple[str, ...], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # passed through as they came
        choices = [("", "whichever host they came to"), *((host, host) for host in hosts if not host.startswith("*"))]
        self.fields["canonical_host"].choices = choices  # type: ignore[attr-defined]  # it is a ChoiceField
