"""The form of one team's limits."""

from __future__ import annotations

from django import forms

from portal.quotas.fields import CpuField, SizeField


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
