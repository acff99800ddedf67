"""Conditions and single rules over an app's record, for the rules of a request. Pure."""

from __future__ import annotations

from runtime.contract.error_codes import Code
from runtime.router.map_entries import FIELDS, PATH_FIELDS, SITUATIONS
from runtime.router.routes import AppSituation

NO_CODE = "!{ var(txn.code) -m found }"


def refuse(code: Code, condition: str) -> str:
    """Return the rule that sets the code of an answer, if no earlier rule has set one."""
    return f"  http-request set-var(txn.code) str({code}) if {condition} {NO_CODE}"


def number(field: str, flag: str) -> str:
    """Return the rule that sets `txn.<field>` to a number of the record, for apps with the flag."""
    value = f"var(txn.record),{record_field(field)}"
    return f"  http-request set-var(txn.{field}) {value} if {has_flag(flag)}"


def record_field(name: str) -> str:
    """Return the converter from an app's record to one of its fields."""
    return f"field({FIELDS.index(name) + 1},|)"


def path_field(name: str) -> str:
    """Return the converter from a path's record to one of its fields."""
    return f"field({PATH_FIELDS.index(name) + 1},|)"


def has_flag(letter: str) -> str:
    """Return the condition that the app's record has a flag."""
    return f"{{ var(txn.flags) -m sub {letter} }}"


def is_in(situation: AppSituation) -> str:
    """Return the condition that the app is in a situation."""
    return f"{{ var(txn.situation) -m str {SITUATIONS[situation]} }}"
