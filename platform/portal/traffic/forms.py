"""Forms of an app's traffic, one a card of the page. They shape input; `checks` decides what may be."""

from __future__ import annotations

import re

from django import forms

from portal.quotas import amounts
from portal.quotas.fields import SizeField
from portal.traffic.autoscale import Target
from portal.traffic.models import TrafficSettings, Way

_PLAIN = {"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}
_LINES = forms.Textarea(attrs={**_PLAIN, "rows": 3, "class": "input mono"})
_HTML = forms.Textarea(attrs={**_PLAIN, "rows": 4, "class": "input mono", "placeholder": "<!doctype html>…"})
_UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600}
_STEP = re.compile(r"(\d+)\s*%\s*(?:for\s+)?(\d+)\s*(s|m|min|h)?", re.IGNORECASE)


class OptionalSize(SizeField):
    """A size, or nothing for no limit of one's own."""

    def to_python(self, value: object) -> int | None:
        return super().to_python(value) if str(value or "").strip() else 0

    def prepare_value(self, value: object) -> object:
        return "" if value == 0 else amounts.size(value) if isinstance(value, int) else value


class OptionalNumber(forms.IntegerField):
    """A number, or nothing for no limit of one's own."""

    def clean(self, value: object) -> int:
        return super().clean(value) or 0

    def prepare_value(self, value: object) -> object:
        return "" if value == 0 else value


class RolloutForm(forms.Form):
    """How traffic moves to a new release."""

    way = forms.ChoiceField(label="Strategy", choices=Way.choices, widget=forms.Select(attrs={"class": "input"}))
    canary_steps = forms.CharField(
        label="Steps of a canary", required=False, help_text="For example: 1 % for 60s, 10 % for 5m", widget=forms.TextInput(attrs=_PLAIN)
    )
    preview_token = forms.CharField(
        label="Preview token",
        required=False,
        help_text="Requests with it in the header X-Slipway-Preview or the cookie slipway-preview meet the canary.",
        widget=forms.TextInput(attrs=_PLAIN),
    )
    drain_seconds = forms.IntegerField(label="Seconds to drain", help_text="What an old instance gets to finish its requests.")
    hold_seconds = forms.IntegerField(label="Seconds to hold", help_text="How long a request waits while no instance is there.")

    def clean_canary_steps(self) -> list[list[int]]:
        """As pairs of percent and seconds."""
        steps = []
        for part in filter(None, (part.strip() for part in self.cleaned_data["canary_steps"].split(","))):
            match = _STEP.fullmatch(part)
            if match is None:
                raise forms.ValidationError(f"{part} is no step. Write for example: 1 % for 60s, 10 % for 5m")
            steps.append([int(match[1]), int(match[2]) * _UNITS[(match[3] or "").lower()]])
        return steps


class SleepForm(forms.Form):
    """When the app rests."""

    sleep_minutes = forms.IntegerField(
        label="Minutes without a request", required=False, help_text="0: never. Empty: as the team's quota says."
    )
    stop_minutes = forms.IntegerField(
        label="Minutes asleep until it is stopped", help_text="Until then it keeps its memory and wakes within milliseconds."
    )
    jobs_keep_awake = forms.BooleanField(label="Awake while a cron job or a run is at work", required=False)
    workers_keep_awake = forms.BooleanField(label="Awake as long as a worker has an instance", required=False)


class AutoscaleForm(forms.Form):
    """How many web instances there are, as the load has it."""

    autoscale = forms.BooleanField(label="Scale web by itself", required=False)
    autoscale_least = forms.IntegerField(label="At least", help_text="Instances of web.")
    autoscale_most = forms.IntegerField(label="At most", help_text="As far as the team's quota goes.")
    autoscale_target = forms.ChoiceField(
        label="Goes by", choices=[(one.value, one.label) for one in Target], widget=forms.Select(attrs={"class": "input"})
    )
    autoscale_value = forms.IntegerField(label="Target", help_text="What it is held near.")


class LimitsForm(forms.Form):
    """Upper bounds. An empty field sets none."""

    timeout_seconds = OptionalNumber(
        label="Seconds for an answer", required=False, help_text="To begin, and between its parts. Empty: 300."
    )
    body_limit = OptionalSize(label="Body of a request", help_text="For example 10M.")
    rate = OptionalNumber(label="Requests a second", required=False)
    client_rate = OptionalNumber(label="Requests a second from one client", required=False)
    open_limit = OptionalNumber(label="Open requests", required=False)
    client_open_limit = OptionalNumber(label="Open requests from one client", required=False)

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # passed through as they came
        self.fields["body_limit"].required = False


class RoutesForm(forms.Form):
    """Which instance a request goes to."""

    paths = forms.CharField(
        label="Path routes",
        required=False,
        help_text="A line each: a path, and the process type it leads to, such as /api backend.",
        widget=_LINES,
    )
    sticky = forms.BooleanField(label="A visitor stays with the instance of the first answer, by a cookie", required=False)
    http2 = forms.BooleanField(label="Speak HTTP/2 to the app, as gRPC needs", required=False)
    keep_alive = forms.BooleanField(label="Use connections to the app again: it keeps idle ones for a minute or longer", required=False)

    def clean_paths(self) -> list[list[str]]:
        """As pairs of prefix and process type."""
        return [line.split(maxsplit=1) for line in self.cleaned_data["paths"].splitlines() if line.strip()]


class VisitorsForm(forms.Form):
    """Who may come in."""

    allowed = forms.CharField(
        label="Allowed addresses", required=False, help_text="An address or network a line. Empty: everybody.", widget=_LINES
    )

    def clean_allowed(self) -> list[str]:
        """As a list."""
        return str(self.cleaned_data["allowed"]).replace(",", " ").split()


class AuthForm(forms.Form):
    """One more name for basic auth."""

    auth_name = forms.CharField(label="Name", max_length=64, widget=forms.TextInput(attrs=_PLAIN))
    auth_password = forms.CharField(label="Password", max_length=200, widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}))


class PagesForm(forms.Form):
    """What visitors see instead of the app."""

    maintenance = forms.BooleanField(label="The app is in maintenance: everybody gets the page below", required=False)
    maintenance_page = forms.CharField(
        label="Page in maintenance", required=False, help_text="HTML. Empty: a plain one of ours.", widget=_HTML
    )
    error_page = forms.CharField(
        label="Page for errors", required=False, help_text="HTML, for what the router answers in the app's place.", widget=_HTML
    )


CARDS: dict[str, type[forms.Form]] = {
    "rollout": RolloutForm,
    "sleep": SleepForm,
    "autoscale": AutoscaleForm,
    "limits": LimitsForm,
    "routes": RoutesForm,
    "visitors": VisitorsForm,
    "pages": PagesForm,
}


def forms_of(row: TrafficSettings) -> dict[str, forms.Form]:
    """One form a card, filled with what holds now."""
    texts: dict[str, object] = {
        "canary_steps": ", ".join(f"{percent} % for {_duration(seconds)}" for percent, seconds in row.canary_steps),
        "paths": "\n".join(f"{prefix} {process}" for prefix, process in row.paths),
        "allowed": "\n".join(row.allowed),
    }
    return {card: form(initial={name: texts.get(name, getattr(row, name)) for name in form.base_fields}) for card, form in CARDS.items()}


def _duration(seconds: int) -> str:
    return f"{seconds // 60}m" if seconds >= 120 and seconds % 60 == 0 else f"{seconds}s"
