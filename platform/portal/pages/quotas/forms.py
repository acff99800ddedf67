"""Forms for the limits and the network policy of a team."""

from __future__ import annotations

from django import forms

from portal.pages.quotas.fields import CpuField, RateField, SizeField
from portal.quotas.models import Egress


class QuotaForm(forms.Form):
    """Input for a quota: a field per limit, with the names of the row's columns."""

    apps = forms.IntegerField(min_value=0, label="Apps")
    instances = forms.IntegerField(min_value=0, label="Instances")
    cpu = CpuField(
        label="CPU", help_text="For all instances together. 1.5 means one and a half cores."
    )
    cpu_per_instance = CpuField(label="CPU per instance")
    memory = SizeField(label="Memory", help_text="For all instances together, for example 4G.")
    memory_per_instance = SizeField(label="Memory per instance")
    disk = SizeField(
        label="Disk", help_text="For the writable layers of all instances, and for volumes."
    )
    disk_per_instance = SizeField(label="Disk per instance")
    sleep_minutes = forms.IntegerField(
        min_value=0,
        label="Minutes until apps sleep",
        help_text="Time without a request. Apps can have their own value. 0: never.",
    )
    processes_per_instance = forms.IntegerField(
        min_value=1, label="Processes per instance", help_text="Includes threads."
    )


class NetworkForm(forms.Form):
    """Input for a network policy. `actions` checks the values."""

    egress = forms.ChoiceField(
        label="Outgoing connections",
        choices=Egress.choices,
        widget=forms.Select(attrs={"class": "input"}),
    )
    bandwidth = RateField(
        label="Bandwidth per instance",
        help_text="In each direction, for example 50 Mbit/s. Empty: unlimited.",
    )
    destinations = forms.CharField(
        label="Allow list",
        required=False,
        help_text=(
            "One per line: api.example.com, api.example.com:443, 192.0.2.0/24 or"
            " 192.0.2.7:5000-5100. Applies only if Allow list is selected."
        ),
        widget=forms.Textarea(
            attrs={
                "autocomplete": "off",
                "autocapitalize": "none",
                "spellcheck": "false",
                "rows": 5,
                "class": "input mono",
            }
        ),
    )
    builds_open = forms.BooleanField(
        label="Builds may connect to the internet",
        required=False,
        help_text=(
            "Builds download packages. If this is off, add the hosts of the team's package"
            " registries to the allow list."
        ),
    )
    substitutes = forms.BooleanField(
        label="Builds may use stacks instead of base images",
        required=False,
        help_text=(
            "If an official image such as python:3.13-slim cannot be fetched, the stack with the"
            " same language and version is used. The build log says so."
        ),
    )
