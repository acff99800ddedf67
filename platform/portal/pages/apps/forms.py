"""Forms for one app. They parse input; the actions check permissions and rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from django import forms
from django.db.models import QuerySet

from portal.accounts.models import Team
from portal.apps import dotenv
from portal.apps.health_validation import FIELDS, NUMBERS, default_of
from portal.apps.models import CheckKind, HealthSettings, ProcessFormation
from portal.apps.sizes import Size
from portal.pages.quotas.fields import CpuField, SizeField

_PLAIN = {"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}


def _bounds(field: str) -> str:
    """Return the bounds of a number of the health check, for its hint."""
    _, least, most = NUMBERS[field]
    return f"From {least:g} to {most:,}. Empty: {default_of(field):g}."


class AppForm(forms.Form):
    """Input for a new app: its name and its team."""

    name = forms.CharField(
        max_length=60,
        widget=forms.TextInput(attrs={**_PLAIN, "data-slug": "", "placeholder": "my-app"}),
    )
    team = forms.ModelChoiceField(
        queryset=Team.objects.none(), to_field_name="name", empty_label=None
    )

    def __init__(self, teams: Iterable[Team], *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # passed on unchanged
        field = self.fields["team"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = Team.objects.filter(pk__in=[team.pk for team in teams]).order_by("name")


class ConfigVarForm(forms.Form):
    """Input for a new or changed config var."""

    name = forms.CharField(
        max_length=200,
        widget=forms.TextInput(
            attrs={**_PLAIN, "placeholder": "DATABASE_URL", "class": "input mono"}
        ),
    )
    value = forms.CharField(
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={**_PLAIN, "rows": 1, "class": "input mono value"}),
    )


class ManyVarsForm(forms.Form):
    """Input for several config vars, as the lines of a .env file."""

    lines = forms.CharField(
        label="Lines of a .env file",
        required=False,
        strip=False,
        widget=forms.Textarea(
            attrs={**_PLAIN, "rows": 6, "class": "input mono", "placeholder": "NAME=value"}
        ),
    )
    file = forms.FileField(label="Or choose a .env file", required=False)

    def clean_lines(self) -> dict[str, str]:
        """Return values by name: those of the file if there is one, else those of the lines."""
        text = str(self.cleaned_data["lines"])
        if (file := self.files.get("file")) is not None:
            text = file.read().decode(errors="replace")
        try:
            found = dotenv.read(text)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None
        if not found:
            raise forms.ValidationError("There are no variables. Write one NAME=value per line.")
        return found


class SizeForm(forms.Form):
    """Input for the count and size of one process type."""

    count = forms.IntegerField(min_value=0, max_value=1000, label="Instances")
    cpu = CpuField(label="CPU per instance")
    memory = SizeField(label="Memory per instance")

    def size(self, row: ProcessFormation) -> Size:
        """Return the values. Fields that the form does not show keep the row's values."""
        return Size(
            count=self.cleaned_data["count"],
            cpu=self.cleaned_data["cpu"],
            memory=self.cleaned_data["memory"],
            processes=row.processes,
            disk=row.disk,
        )


def size_forms(
    rows: Iterable[ProcessFormation], data: Mapping[str, str] | None = None
) -> list[tuple[ProcessFormation, SizeForm]]:
    """Return one form per process type. Its fields are prefixed with the name of the type."""
    return [
        (
            row,
            SizeForm(
                data,
                prefix=row.process,
                initial={"count": row.count, "cpu": row.cpu, "memory": row.memory},
            ),
        )
        for row in rows
    ]


def all_valid(forms: Iterable[tuple[ProcessFormation, SizeForm]]) -> bool:
    """Validate every form, so that each wrong field is marked."""
    return all([form.is_valid() for _, form in forms])  # noqa: C419  # a generator would stop at the first wrong form


class SecondsField(forms.FloatField):
    """A number of seconds, or empty for the default. The hint shows the bounds; `health_validation`
    enforces them."""

    def __init__(self, name: str, *, label: str, what: str) -> None:
        super().__init__(label=label, required=False, help_text=f"{what} {_bounds(name)}")
        self.error_messages["invalid"] = f"This is not a valid number of seconds. {_bounds(name)}"

    def prepare_value(self, value: object) -> object:
        return f"{value:g}" if isinstance(value, float) else value


class HealthForm(forms.Form):
    """Input for the health check of an app."""

    kind = forms.ChoiceField(
        label="Kind",
        choices=CheckKind.choices,
        help_text="A GET passes if the status is below 500. A command passes if it exits with 0.",
        widget=forms.Select(attrs={"class": "input"}),
    )
    path = forms.CharField(
        label="Path",
        required=False,
        help_text="For example /healthz. Default: /.",
        widget=forms.TextInput(attrs={**_PLAIN, "class": "input mono"}),
    )
    command = forms.CharField(
        label="Command",
        required=False,
        help_text="A shell line that runs inside the instance, such as python manage.py check.",
        widget=forms.TextInput(attrs={**_PLAIN, "class": "input mono"}),
    )
    timeout = SecondsField(
        "timeout", label="Timeout in seconds", what="A check that takes longer has failed."
    )
    interval = SecondsField(
        "interval", label="Interval in seconds", what="Time between two checks."
    )
    attempts = forms.IntegerField(
        label="Attempts",
        required=False,
        help_text=f"Consecutive failures until the instance is unhealthy. {_bounds('attempts')}",
        widget=forms.NumberInput(),
    )
    start_period = SecondsField(
        "start_period", label="Start period in seconds", what="Failures in this period are ignored."
    )

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # passed on unchanged
        self.fields["attempts"].error_messages["invalid"] = (
            f"This is not a whole number. {_bounds('attempts')}"
        )


def health_form(row: HealthSettings | None) -> HealthForm:
    """Return the form with the stored values, or with the defaults."""
    return HealthForm(
        initial={
            field: default_of(field) if row is None else getattr(row, field) for field in FIELDS
        }
    )


class BranchForm(forms.Form):
    """Input for the branch that deploys."""

    branch = forms.CharField(
        label="Deployed branch",
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={**_PLAIN, "placeholder": "main", "class": "input mono"}),
        help_text="Empty: main and master.",
    )


class DescriptionForm(forms.Form):
    """Input for what an app is."""

    description = forms.CharField(
        label="Description",
        required=False,
        max_length=300,
        widget=forms.TextInput(attrs={"placeholder": "What it does, and for whom"}),
        help_text="One line of at most 300 characters. Home and the overview show it.",
    )


class RenameForm(forms.Form):
    """Input for another name of an app."""

    name = forms.CharField(
        label="New name",
        max_length=60,
        widget=forms.TextInput(attrs={**_PLAIN, "class": "input mono"}),
    )


class TransferForm(forms.Form):
    """Input for the team that an app moves to, and the app's name to confirm it."""

    team = forms.ModelChoiceField(
        label="Team",
        queryset=Team.objects.none(),
        to_field_name="name",
        empty_label="Choose a team",
    )
    typed_name = forms.CharField(
        label="App name", required=False, max_length=60, widget=forms.TextInput(attrs=_PLAIN)
    )

    def __init__(self, teams: QuerySet[Team], *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # passed on unchanged
        field = self.fields["team"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = teams


class DeleteForm(forms.Form):
    """The app's name, typed to confirm the deletion."""

    typed_name = forms.CharField(
        label="App name", required=False, max_length=60, widget=forms.TextInput(attrs=_PLAIN)
    )
