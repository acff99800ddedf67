"""Forms for volumes. They parse input; the actions check permissions and rules."""

from __future__ import annotations

from django import forms

from portal.apps.models import App
from portal.apps.volumes import Volume
from portal.pages.quotas.fields import SizeField

_PLAIN = {"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}
_PROCESSES_HINT = "Process types that get it, separated by spaces. Empty: all."


def _text(label: str, hint: str = "", *, required: bool = True, example: str = "") -> forms.Field:
    widget = forms.TextInput(attrs={**_PLAIN, "placeholder": example, "class": "input mono"})
    return forms.CharField(
        label=label, help_text=hint, max_length=1000, required=required, widget=widget
    )


class SettingsForm(forms.Form):
    """Input for the settings of a volume."""

    size = SizeField(label="Size", help_text="For example 1G. It cannot become smaller.")
    path = _text("Path in the instance", example="/data")
    processes = _text("Process types", _PROCESSES_HINT, required=False, example="web")
    overlap = forms.BooleanField(required=False)

    def clean_processes(self) -> list[str]:
        """Return the process types as a list."""
        return str(self.cleaned_data["processes"]).replace(",", " ").split()

    @classmethod
    def of(cls, volume: Volume) -> SettingsForm:
        """Return a form with the current settings."""
        return cls(
            initial={
                "size": volume.size,
                "path": volume.path,
                "processes": " ".join(volume.processes),
                "overlap": volume.overlap,
            }
        )


class NewVolumeForm(SettingsForm):
    """Input for a new volume."""

    name = _text("Name", "Lower-case letters, digits and hyphens.", example="uploads")
    field_order = ("name", "size", "path", "processes", "overlap")


class TypedNameForm(forms.Form):
    """Input for the name of a volume, as a confirmation."""

    typed_name = forms.CharField(max_length=60, required=False)


class AttachForm(forms.Form):
    """Input for the app that gets a detached volume."""

    app = forms.ModelChoiceField(
        queryset=App.objects.none(), to_field_name="name", empty_label=None
    )
    path = _text("Path in the instance", example="/data")

    def __init__(self, volume: Volume, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # passed on unchanged
        field = self.fields["app"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = App.objects.filter(team=volume.team, deleted_at=None).order_by("name")


class SnapshotForm(forms.Form):
    """Input for a snapshot."""

    note = forms.CharField(label="Note", max_length=80, required=False)


class CloneForm(forms.Form):
    """Input for the name of a clone. Without a snapshot, the current content is cloned."""

    name = forms.CharField(max_length=60)
    snapshot = forms.IntegerField(required=False)


class UploadForm(forms.Form):
    """Input for an archive, and the folder to unpack it into."""

    archive = forms.FileField()
    place = forms.CharField(max_length=1000, required=False)


class FolderForm(forms.Form):
    """Input for a folder to list."""

    place = forms.CharField(max_length=1000, required=False)
