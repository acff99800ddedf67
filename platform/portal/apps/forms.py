"""Forms about one app. They shape input; what may be is decided by the actions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from django import forms

from portal.accounts.models import Team
from portal.apps.checks import FIELDS, NUMBERS, usual
from portal.apps.models import CheckKind, HealthSettings, ProcessFormation
from portal.apps.sizes import Size
from portal.quotas.fields import CpuField, SizeField

_PLAIN = {"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}


def _bounds(field: str) -> str:
    """Of a number of the health check, for its hint."""
    _, least, most = NUMBERS[field]
    return f"From {least:g} to {most:,}. Empty: {usual(field):g}."


class AppForm(forms.Form):
    """A new app: its name, and the team it will belong to."""

    name = forms.CharField(max_length=60, widget=forms.TextInput(attrs={**_PLAIN, "data-slug": "", "placeholder": "my-app"}))
    team = forms.ModelChoiceField(queryset=Team.objects.none(), to_field_name="name", empty_label=None)

    def __init__(self, teams: Iterable[Team], *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # passed through as they came
        field = self.fields["team"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = Team.objects.filter(pk__in=[team.pk for team in teams]).order_by("name")


class ConfigVarForm(forms.Form):
    """One config var to add or change."""

    name = forms.CharField(max_length=200, widget=forms.TextInput(attrs={**_PLAIN, "placeholder": "DATABASE_URL", "class": "input mono"}))
    value = forms.CharField(required=False, strip=False, widget=forms.Textarea(attrs={**_PLAIN, "rows": 1, "class": "input mono value"}))


class ManyVarsForm(forms.Form):
    """Several config vars, as the lines of a .env file."""

    lines = forms.CharField(
        label="Lines of a .env file", widget=forms.Textarea(attrs={**_PLAIN, "rows": 4, "class": "input mono", "placeholder": "NAME=value"})
    )

    def clean_lines(self) -> dict[str, str]:
        """Name to value; comments and empty lines are left out, one pair of quotes is taken off."""
        found = {}
        for number, line in enumerate(self.cleaned_data["lines"].splitlines(), start=1):
            text = line.strip().removeprefix("export ")
            if not text or text.startswith("#"):
                continue
            name, separator, value = text.partition("=")
            if not separator:
                raise forms.ValidationError(f"Line {number} is no NAME=value: {text[:60]}")
            value = value.strip()
            found[name.strip()] = value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value
        return found


class SizeForm(forms.Form):
    """Count and size of one process type."""

    count = forms.IntegerField(min_value=0, max_value=1000, label="Instances")
    cpu = CpuField(label="CPU each")
    memory = SizeField(label="Memory each")

    def size(self, row: ProcessFormation) -> Size:
        """As a value; what the form does not show stays."""
        return Size(
            count=self.cleaned_data["count"],
            cpu=self.cleaned_data["cpu"],
            memory=self.cleaned_data["memory"],
            processes=row.processes,
            disk=row.disk,
        )


def size_forms(rows: Iterable[ProcessFormation], data: Mapping[str, str] | None = None) -> list[tuple[ProcessFormation, SizeForm]]:
    """One form a process type, prefixed with its name."""
    return [(row, SizeForm(data, prefix=row.process, initial={"count": row.count, "cpu": row.cpu, "memory": row.memory})) for row in rows]


def all_valid(forms: Iterable[tuple[ProcessFormation, SizeForm]]) -> bool:
    """Looks at every form, so that each field with a mistake is marked."""
    return all([form.is_valid() for _, form in forms])  # noqa: C419  # a generator would stop at the first


class SecondsField(forms.FloatField):
    """A number of seconds, or nothing for the usual one. Its bounds are told, and looked at by `checks`."""

    def __init__(self, name: str, *, label: str, what: str) -> None:
        super().__init__(label=label, required=False, help_text=f"{what} {_bounds(name)}")
        self.error_messages["invalid"] = f"This is no number of seconds. {_bounds(name)}"

    def prepare_value(self, value: object) -> object:
        return f"{value:g}" if isinstance(value, float) else value


class HealthForm(forms.Form):
    """How an instance is asked whether it is well, and how patiently."""

    kind = forms.ChoiceField(
        label="Kind",
        choices=CheckKind.choices,
        help_text="A GET is passed with an answer below 500, a command by ending with 0.",
        widget=forms.Select(attrs={"class": "input"}),
    )
    path = forms.CharField(
        label="Path",
        required=False,
        help_text="As /healthz. Empty: /.",
        widget=forms.TextInput(attrs={**_PLAIN, "class": "input mono"}),
    )
    command = forms.CharField(
        label="Command",
        required=False,
        help_text="One shell line, run inside the instance, such as python manage.py check.",
        widget=forms.TextInput(attrs={**_PLAIN, "class": "input mono"}),
    )
    timeout = SecondsField("timeout", label="Seconds for one check", what="Then it has failed.")
    interval = SecondsField("interval", label="Seconds between two", what="For as long as it runs.")
    attempts = forms.IntegerField(
        label="Attempts", required=False, help_text=f"So many may fail in a row. {_bounds('attempts')}", widget=forms.NumberInput()
    )
    start_period = SecondsField("start_period", label="Seconds to start", what="Failures in them do not count.")

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # passed through as they came
        self.fields["attempts"].error_messages["invalid"] = f"This is no whole number. {_bounds('attempts')}"


def health_form(row: HealthSettings | None) -> HealthForm:
    """Filled with what is set, or with what is usual."""
    return HealthForm(initial={field: usual(field) if row is None else getattr(row, field) for field in FIELDS})


class DeleteForm(forms.Form):
    """The app's name, typed."""

    typed_name = forms.CharField(label="The app's name", required=False, max_length=60, widget=forms.TextInput(attrs=_PLAIN))
