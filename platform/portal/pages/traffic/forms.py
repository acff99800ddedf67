"""Forms for an app's traffic, one per card of the page. They parse input;
`portal.traffic.validation` validates the values."""

from __future__ import annotations

import re

from django import forms

from portal.pages.quotas.fields import SizeField
from portal.traffic.autoscale import Target
from portal.traffic.models import TrafficSettings, Way

_PLAIN = {"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}
_LINES = forms.Textarea(attrs={**_PLAIN, "rows": 3, "class": "input mono"})
_HTML = forms.Textarea(
    attrs={**_PLAIN, "rows": 4, "class": "input mono", "placeholder": "<!doctype html>…"}
)
_UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600}
_STEP = re.compile(r"(\d+)\s*%\s*(?:for\s+)?(\d+)\s*(s|m|min|h)?", re.IGNORECASE)


class OptionalSize(SizeField):
    """A size, or empty for no limit."""

    def to_python(self, value: object) -> int | None:
        return super().to_python(value) if str(value or "").strip() else 0

    def prepare_value(self, value: object) -> object:
        return "" if value == 0 else super().prepare_value(value)


class OptionalNumber(forms.IntegerField):
    """A number, or empty for no limit."""

    def clean(self, value: object) -> int:
        return super().clean(value) or 0

    def prepare_value(self, value: object) -> object:
        return "" if value == 0 else value


class RolloutForm(forms.Form):
    """Input for the rollout strategy."""

    way = forms.ChoiceField(
        label="Strategy", choices=Way.choices, widget=forms.Select(attrs={"class": "input"})
    )
    canary_steps = forms.CharField(
        label="Canary steps",
        required=False,
        help_text="For example: 1 % for 60s, 10 % for 5m",
        widget=forms.TextInput(attrs=_PLAIN),
    )
    preview_token = forms.CharField(
        label="Preview token",
        required=False,
        help_text=(
            "Requests with this token in the header X-Slipway-Preview or the cookie slipway-preview"
            " go to the canary."
        ),
        widget=forms.TextInput(attrs=_PLAIN),
    )
    drain_seconds = forms.IntegerField(
        label="Drain time in seconds", help_text="How long an old instance may finish its requests."
    )
    hold_seconds = forms.IntegerField(
        label="Hold time in seconds",
        help_text="How long a request waits if no instance is running.",
    )

    def clean_canary_steps(self) -> list[list[int]]:
        """Return pairs of percent and seconds."""
        steps = []
        for part in filter(
            None, (part.strip() for part in self.cleaned_data["canary_steps"].split(","))
        ):
            match = _STEP.fullmatch(part)
            if match is None:
                raise forms.ValidationError(
                    f"{part} is not a valid step. Use for example: 1 % for 60s, 10 % for 5m"
                )
            steps.append([int(match[1]), int(match[2]) * _UNITS[(match[3] or "").lower()]])
        return steps


class SleepForm(forms.Form):
    """Input for the sleep settings."""

    sleep_minutes = forms.IntegerField(
        label="Sleep after minutes without a request",
        required=False,
        help_text="0: never. Empty: the value of the team's quota.",
    )
    stop_minutes = forms.IntegerField(
        label="Stop after minutes asleep",
        help_text="Until then the app keeps its memory and wakes within milliseconds.",
    )
    jobs_keep_awake = forms.BooleanField(
        label="Stay awake while a cron job or a run is running", required=False
    )
    workers_keep_awake = forms.BooleanField(
        label="Stay awake while a process type without requests has an instance", required=False
    )


class AutoscaleForm(forms.Form):
    """Input for autoscaling."""

    autoscale = forms.BooleanField(label="Autoscale web", required=False)
    autoscale_least = forms.IntegerField(label="Minimum", help_text="Number of web instances.")
    autoscale_most = forms.IntegerField(
        label="Maximum", help_text="Also limited by the team's quota."
    )
    autoscale_target = forms.ChoiceField(
        label="Metric",
        choices=[(target.value, target.label) for target in Target],
        widget=forms.Select(attrs={"class": "input"}),
    )
    autoscale_value = forms.IntegerField(
        label="Target", help_text="The value of the metric to aim for."
    )


class LimitsForm(forms.Form):
    """Input for request limits. An empty field means no limit."""

    timeout_seconds = OptionalNumber(
        label="Response timeout in seconds",
        required=False,
        help_text="Until the response begins, and between its parts. Empty: 300.",
    )
    body_limit = OptionalSize(label="Maximum body size", help_text="For example 10M.")
    rate = OptionalNumber(label="Requests per second", required=False)
    client_rate = OptionalNumber(label="Requests per second from one client", required=False)
    open_limit = OptionalNumber(label="Open requests", required=False)
    client_open_limit = OptionalNumber(label="Open requests from one client", required=False)

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # passed through as they came
        self.fields["body_limit"].required = False


class RoutesForm(forms.Form):
    """Input for the routing of requests to instances."""

    paths = forms.CharField(
        label="Path routes",
        required=False,
        help_text="One per line: a path and a process type, such as /api backend.",
        widget=_LINES,
    )
    sticky = forms.BooleanField(
        label="Sticky sessions: a cookie keeps a visitor on the same instance", required=False
    )
    http2 = forms.BooleanField(label="Use HTTP/2 to the app, which gRPC needs", required=False)
    keep_alive = forms.BooleanField(
        label="Reuse connections to the app. It must keep idle connections for a minute or longer",
        required=False,
    )

    def clean_paths(self) -> list[list[str]]:
        """Return pairs of prefix and process type."""
        return [
            line.split(maxsplit=1)
            for line in self.cleaned_data["paths"].splitlines()
            if line.strip()
        ]


class VisitorsForm(forms.Form):
    """Input for the allowed addresses."""

    allowed = forms.CharField(
        label="Allowed addresses",
        required=False,
        help_text="One address or network per line. Empty: all addresses.",
        widget=_LINES,
    )

    def clean_allowed(self) -> list[str]:
        """Return the lines as a list."""
        return str(self.cleaned_data["allowed"]).replace(",", " ").split()


class AuthForm(forms.Form):
    """Input for a user of basic authentication."""

    auth_name = forms.CharField(label="Name", max_length=64, widget=forms.TextInput(attrs=_PLAIN))
    auth_password = forms.CharField(
        label="Password",
        max_length=200,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )


class PagesForm(forms.Form):
    """Input for the maintenance page and the error page."""

    maintenance = forms.BooleanField(
        label="Maintenance mode: all visitors get the page below", required=False
    )
    maintenance_page = forms.CharField(
        label="Maintenance page",
        required=False,
        help_text="HTML. Empty: the default page.",
        widget=_HTML,
    )
    error_page = forms.CharField(
        label="Error page",
        required=False,
        help_text="HTML. Shown when the router answers in place of the app.",
        widget=_HTML,
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
    """Return one form per card, with the current values."""
    texts: dict[str, object] = {
        "canary_steps": ", ".join(
            f"{percent} % for {_duration(seconds)}" for percent, seconds in row.canary_steps
        ),
        "paths": "\n".join(f"{prefix} {process}" for prefix, process in row.paths),
        "allowed": "\n".join(row.allowed),
    }
    return {
        card: form(initial={name: texts.get(name, getattr(row, name)) for name in form.base_fields})
        for card, form in CARDS.items()
    }


def _duration(seconds: int) -> str:
    return f"{seconds // 60}m" if seconds >= 120 and seconds % 60 == 0 else f"{seconds}s"
