"""Forms about people, teams and tokens. They shape input; what may be is decided by the actions."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm

from portal.accounts import attempts
from portal.accounts.models import Role
from portal.accounts.proof import LIFE_SECONDS, WAIT_SECONDS, Ticket

_WHATEVER = 256  # bits: more than any attempt costs


class SignInForm(AuthenticationForm):
    """Name and password; and a ticket with its proof, where too many attempts failed."""

    ticket = forms.CharField(required=False, max_length=400, widget=forms.HiddenInput)
    proof = forms.CharField(required=False, max_length=200, widget=forms.HiddenInput)

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # passed through as they came
        self.fields["username"].label = "Name"
        self.error_messages = {
            "invalid_login": "That name and password do not go together. Check both; capital letters count in the password.",
            "inactive": "This account is switched off. Ask an admin of this Slipway.",
            "too_many": "Too many sign-ins with this name or from your address failed. Type your password once more: "
            f"your browser now computes for a few seconds before it signs in. Without scripts, wait {WAIT_SECONDS} seconds first.",
        }

    def clean(self) -> dict[str, Any]:
        """Name and password go together, and the attempt was paid for where it costs something."""
        name, address = self.cleaned_data.get("username", ""), self._address
        if not attempts.begin(name, address, paid=self._paid(name, address)):
            raise forms.ValidationError(self.error_messages["too_many"], code="too_many")
        cleaned: dict[str, Any] = super().clean()
        attempts.succeeded(name, address)
        return cleaned

    def new_ticket(self) -> Ticket | None:
        """What the next attempt needs; None where it costs nothing. For the template."""
        bits = attempts.price_of(self.data.get("username", "") if self.is_bound else "", self._address)
        return Ticket.make(bits, self._address) if bits else None

    @property
    def _address(self) -> str:
        return (self.request.META.get("REMOTE_ADDR") or "") if self.request else ""

    def _paid(self, name: str, address: str) -> int:
        """Bits of the ticket that came along, if it is good."""
        ticket = Ticket.read(self.cleaned_data.get("ticket", ""), address)
        if ticket is None:
            return 0
        is_good = ticket.is_proved_by(self.cleaned_data.get("proof", ""))
        if not is_good and ticket.has_waited and attempts.is_waited(name, address, WAIT_SECONDS):
            return _WHATEVER if attempts.is_first_use(ticket.nonce, LIFE_SECONDS) else 0
        return ticket.bits if is_good and attempts.is_first_use(ticket.nonce, LIFE_SECONDS) else 0


class TeamForm(forms.Form):
    """A new team."""

    name = forms.CharField(
        max_length=60,
        help_text="Lower-case letters, digits and hyphens, a letter first.",
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false", "data-slug": "", "placeholder": "crew"}
        ),
    )


class MemberForm(forms.Form):
    """Someone to put into a team."""

    username = forms.CharField(
        label="Name", max_length=150, widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none"})
    )
    role = forms.ChoiceField(choices=Role.choices, initial=Role.MEMBER)


class TokenForm(forms.Form):
    """A new token."""

    label = forms.CharField(
        label="New token for", max_length=60, widget=forms.TextInput(attrs={"autocomplete": "off", "placeholder": "laptop"})
    )


class NewPasswordForm(PasswordChangeForm):
    """The old password once and the new one twice."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # passed through as they came
        self.fields["old_password"].label = "Old password"
        self.fields["old_password"].widget.attrs.pop("autofocus", None)
        self.fields["new_password1"].help_text = "At least 8 characters, not only digits, and no common password."
        self.fields["new_password2"].label = "New password again"
        self.fields["new_password2"].help_text = ""


class PersonForm(forms.Form):
    """Someone new, made by an admin."""

    username = forms.CharField(
        label="Name", max_length=150, widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none"})
    )
    password = forms.CharField(
        label="First password",
        help_text="Tell them; they can change it.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    team = forms.CharField(label="Team", required=False, help_text="Optional: put them into a team at once.")
    admin = forms.BooleanField(label="Admin of this Slipway", required=False, widget=forms.CheckboxInput(attrs={"class": "check"}))
