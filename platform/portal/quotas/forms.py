"""The forms of one team's limits: what it may use, and what it may reach."""

from __future__ import annotations

from django import forms

from portal.quotas.fields import CpuField, RateField, SizeField
from portal.quotas.models import Egress


class QuotaForm(forms.Form):
    """A field a limit, named as the row's columns."""

    apps = forms.IntegerField(min_value=0, label="Apps")
    instances = forms.IntegerField(min_value=0, label="Instances")
    cpu = CpuField(label="CPU", help_text="Of all instances together: 1.5 is one and a half cores.")
    cpu_per_instance = CpuField(label="CPU of one instance")
    memory = SizeField(label="Memory", help_text="Of all instances together, for example 4G.")
    memory_per_instance = SizeField(label="Memory of one instance")
    disk = SizeField(label="Disk", help_text="Of all instances' own writable layers.")
    disk_per_instance = SizeField(label="Disk of one instance")
    sleep_minutes = forms.IntegerField(
        min_value=0, label="Minutes until apps sleep", help_text="Without a request, unless an app says otherwise. 0: never."
    )
    processes_per_instance = forms.IntegerField(min_value=1, label="Processes of one instance", help_text="Threads count too.")


class NetworkForm(forms.Form):
    """What a team's containers may reach. `actions` decides what may be."""

    egress = forms.ChoiceField(label="Outgoing connections", choices=Egress.choices, widget=forms.Select(attrs={"class": "input"}))
    bandwidth = RateField(label="Bandwidth of one instance", help_text="Each way, for example 50 Mbit/s. Empty: unlimited.")
    destinations = forms.CharField(
        label="Allow list",
        required=False,
        help_text="One a line: api.example.com, api.example.com:443, 192.0.2.0/24 or 192.0.2.7:5000-5100. Counts while Allow list is chosen.",
        widget=forms.Textarea(
            attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false", "rows": 5, "class": "input mono"}
        ),
    )
    builds_open = forms.BooleanField(
        label="Builds may reach the internet",
        required=False,
        help_text="Builds download packages. Without it, list the hosts of the package registries that the team uses.",
    )
