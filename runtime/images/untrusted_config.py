"""Check the types in the JSON documents of an untrusted image. Pure.

Source: github.com/opencontainers/image-spec, v1.1, config.md. A field may be missing or null.
Fields that the platform does not use are not checked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

LARGEST_NUMBER = 2**63 - 1
_TIMES = ("Interval", "Timeout", "StartPeriod", "StartInterval", "Retries")


def parse_untrusted(data: bytes) -> dict[str, Any]:
    """Return the object of a JSON document.

    ValueError: it is not an object, a name occurs twice in an object, a number needs more than 64
    bits, or it is nested too deeply.
    """
    try:
        document = json.loads(data, object_pairs_hook=_unique, parse_int=_integer)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    if not isinstance(document, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004  # the caller catches one kind
    return document


def check_config(document: dict[str, Any]) -> None:
    """Check the types of an image's configuration.

    ValueError: a sentence names the first field with a wrong type.
    """
    for name in ("architecture", "os", "author"):
        _check(document, name, _is_text, "a string")
    for step in _list(document, "history"):
        _check(step, "created_by", _is_text, "a string", of="history")
        _check(step, "comment", _is_text, "a string", of="history")
        _check(step, "empty_layer", _is_truth, "true or false", of="history")
    _check(document, "rootfs", _is_object, "an object")
    _check(document.get("rootfs") or {}, "diff_ids", _are_texts, "a list of strings", of="rootfs")
    _check(document, "config", _is_object, "an object")
    _check_settings(document.get("config") or {})


def _check_settings(settings: dict[str, Any]) -> None:
    for name in ("User", "WorkingDir", "StopSignal"):
        _check(settings, name, _is_text, "a string")
    for name in ("Entrypoint", "Cmd", "Shell", "OnBuild", "Env"):
        _check(settings, name, _are_texts, "a list of strings")
    _check(settings, "Env", _are_variables, "a list of NAME=VALUE")
    for name in ("ExposedPorts", "Volumes"):
        _check(settings, name, _is_object, "an object")
    _check(settings, "Labels", _has_texts, "an object of strings")
    _check(settings, "Healthcheck", _is_object, "an object")
    check = settings.get("Healthcheck") or {}
    _check(check, "Test", _are_texts, "a list of strings", of="Healthcheck")
    for name in _TIMES:
        _check(check, name, _is_count, "a number that is not negative", of="Healthcheck")


def _check(
    document: dict[str, Any],
    name: str,
    is_right: Callable[[Any], bool],
    kind: str,
    *,
    of: str = "",
) -> None:
    value = document.get(name)
    if value is not None and not is_right(value):
        raise ValueError(f"{of}{' ' if of else ''}{name} is not {kind}")


def _list(document: dict[str, Any], name: str) -> Iterable[dict[str, Any]]:
    found = document.get(name) or []
    if not isinstance(found, list) or not all(_is_object(entry) for entry in found):
        raise ValueError(f"{name} is not a list of objects")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it has the name {twice[:40]!r} twice")
    return document


def _integer(text: str) -> int:
    if len(text) > 20 or not -LARGEST_NUMBER <= (number := int(text)) <= LARGEST_NUMBER:
        raise ValueError("it has a number of more than 64 bits")
    return number


def _is_text(value: Any) -> bool:
    """Return whether a value is text that can be written as UTF-8 and passed to a program."""
    return isinstance(value, str) and "\0" not in value and not _has_surrogates(value)


def _has_surrogates(text: str) -> bool:
    return any("\ud800" <= sign <= "\udfff" for sign in text)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(_is_text(entry) for entry in value)


def _are_variables(value: Any) -> bool:
    return all(entry.find("=") > 0 for entry in value)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_text(name) for name in value)


def _has_texts(value: Any) -> bool:
    return _is_object(value) and all(_is_text(entry) for entry in value.values())


def _is_truth(value: Any) -> bool:
    return isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
