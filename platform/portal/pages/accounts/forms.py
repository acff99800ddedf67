"""Forms for people, teams and tokens. They parse input; the actions check permissions and rules."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm

from portal.accounts import attempts
from portal.accounts.models import Role
from portal.accounts.proof import LIFE_SECONDS, WAIT_SECONDS, Ticket

_PAID_BY_WAITING = 256  # bits; more than the price of any attempt


class SignInForm(AuthenticationForm):
    """A name and a password, with a ticket and its proof of work after too many failed attempts."""

    ticket = forms.CharField(required=False, max_length=400, widget=forms.HiddenInput)
    proof = forms.CharField(required=False, max_length=200, widget=forms.HiddenInput)

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # passed on unchanged
        self.fields["username"].label = "Name"
        self.error_messages = {
            "invalid_login": "Wrong name or password. Check both. The password is case-sensitive.",
            "inactive": "This account is disabled. Ask an admin of this Slipway.",
            "too_many": (
                "Too many sign-ins with this name or from your address failed. Enter your password"
                " again: your browser will solve a short computation, which takes a few seconds."
                f" Without scripts, wait {WAIT_SECONDS} seconds first."
            ),
        }

    def clean(self) -> dict[str, Any]:
        """Check the name and password, and that the attempt was paid for if it has a cost."""
        name, address = self.cleaned_data.get("username", ""), self._address
        if not attempts.begin(name, address, paid=self._paid(name, address)):
            raise forms.ValidationError(self.error_messages["too_many"], code="too_many")
        cleaned: dict[str, Any] = super().clean()
        attempts.succeeded(name, address)
        return cleaned

    def new_ticket(self) -> Ticket | None:
        """Return the ticket for the next attempt, or None if it costs nothing. Used by the
        template."""
        bits = attempts.price_of(
            self.data.get("username", "") if self.is_bound else "", self._address
        )
        return Ticket.make(bits, self._address) if bits else None

    @property
    def _address(self) -> str:
        return (self.request.META.get("REMOTE_ADDR") or "") if self.request else ""

    def _paid(self, name: str, address: str) -> int:
        """Return the bits that the ticket paid for, by a proof of work or by waiting; 0: none."""
        ticket = Ticket.read(self.cleaned_data.get("ticket", ""), address)
        if ticket is None:
            return 0
        is_good = ticket.is_proved_by(self.cleaned_data.get("proof", ""))
        if not is_good and ticket.has_waited and attempts.is_waited(name, address, WAIT_SECONDS):
            return _PAID_BY_WAITING if attempts.is_first_use(ticket.nonce, LIFE_SECONDS) else 0
        return ticket.bits if is_good and attempts.is_first_use(ticket.nonce, LIFE_SECONDS) else 0


class TeamForm(forms.Form):
    """Input for a new team."""

    name = forms.CharField(
        max_length=60,
        help_text="Lower-case letters, digits and hyphens. Starts with a letter.",
        widget=forms.TextInput(
            attrs={
                "autocomplete": "off",
                "autocapitalize": "none",
                "spellcheck": "false",
                "data-slug": "",
                "placeholder": "crew",
            }
        ),
    )


class MemberForm(forms.Form):
    """Input for a new member of a team."""

    username = forms.CharField(
        label="Name",
        max_length=150,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none"}),
    )
    role = forms.ChoiceField(choices=Role.choices, initial=Role.MEMBER)


class TokenForm(forms.Form):
    """Input for a new token."""

    label = forms.CharField(
        label="Name of the new token",
        max_length=60,
        widget=forms.TextInput(attrs={"autocomplete": "off", "placeholder": "laptop"}),
    )


class NewPasswordForm(PasswordChangeForm):
    """The current password once and the new password twice."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # passed on unchanged
        self.fields["old_password"].label = "Current password"
        self.fields["old_password"].widget.attrs.pop("autofocus", None)
        self.fields[
            "new_password1"
        ].help_text = "At least 8 characters. Not only digits, and not a common password."
        self.fields["new_password2"].label = "New password again"
        self.fields["new_password2"].help_text = ""


class PersonForm(forms.Form):
    """Input for a new person. Used by admins."""

    username = forms.CharField(
        label="Name",
        max_length=150,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none"}),
    )
    password = forms.CharField(
        label="Initial password",
        help_text="Send it to the person. They can change it.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    team = forms.CharField(
        label="Team",
        required=False,
        help_text="Optional. The person becomes a member of this team.",
    )
    admin = forms.BooleanField(
        label="Admin of this Slipway",
        required=False,
        widget=forms.CheckboxInput(attrs={"class": "check"}),
    )
