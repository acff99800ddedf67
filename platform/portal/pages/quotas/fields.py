"""Form fields for amounts in the units that people type: 512M, 1.5 CPU, 10 Mbit/s."""

from __future__ import annotations

import re

from django import forms

from portal.quotas import amounts
from runtime.contract.quantities import Bytes

_CPU = re.compile(r"(\d+(?:\.\d+)?)\s*(m|cpus?|cores?)?", re.IGNORECASE)
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*([kMG])?(?:bit|bps)?(?:/s|ps)?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3}


class SizeField(forms.Field):
    """Bytes, entered as 512M or 1.5 GiB."""

    def __init__(self, *, label: str = "", help_text: str = "") -> None:
        super().__init__(
            label=label,
            help_text=help_text,
            widget=forms.TextInput(attrs={"autocomplete": "off", "inputmode": "text"}),
        )

    def to_python(self, value: object) -> int | None:
        text = str(value or "").strip()
        try:
            return int(Bytes.parse(text))
        except ValueError:
            raise forms.ValidationError(
                f"Invalid size: {text or 'empty'}. Use for example 512M or 1.5G."
            ) from None

    def prepare_value(self, value: object) -> object:
        return Bytes(value).exact() if isinstance(value, int) else value


class CpuField(forms.Field):
    """Millicores, entered as 0.5, 1.5 CPU or 250m."""

    def __init__(self, *, label: str = "", help_text: str = "") -> None:
        super().__init__(
            label=label,
            help_text=help_text,
            widget=forms.TextInput(attrs={"autocomplete": "off", "inputmode": "text"}),
        )

    def to_python(self, value: object) -> int | None:
        text = str(value or "").strip()
        match = _CPU.fullmatch(text)
        if match is None:
            raise forms.ValidationError(
                f"Invalid CPU amount: {text or 'empty'}. Use for example 0.5 or 1.5 CPU."
            )
        return round(float(match[1]) * (1 if (match[2] or "").lower() == "m" else 1000))

    def prepare_value(self, value: object) -> object:
        return amounts.cpu(value) if isinstance(value, int) else value


class RateField(forms.Field):
    """Bits per second, entered as 10M or 1.5 Gbit/s. Empty or 0 for no limit."""

    def __init__(self, *, label: str = "", help_text: str = "") -> None:
        widget = forms.TextInput(attrs={"autocomplete": "off", "inputmode": "text"})
        super().__init__(label=label, help_text=help_text, required=False, widget=widget)

    def to_python(self, value: object) -> int:
        text = str(value or "").strip()
        match = _RATE.fullmatch(text or "0")
        if match is None:
            raise forms.ValidationError(
                f"Invalid bandwidth: {text}. Use for example 10 Mbit/s or 1G."
            )
        return round(float(match[1]) * float(1000 ** _POWERS[(match[2] or "").lower()]))

    def prepare_value(self, value: object) -> object:
        return (amounts.rate(value) if value else "") if isinstance(value, int) else value
