"""Choose and parse an app's manifest (slipway.toml or app.json). Pure: no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from runtime.builds.manifest import app_json, toml
from runtime.contract.manifest import JSON, LARGEST, TOML, AppFile
from runtime.contract.quantities import Bytes
from runtime.errors import BadSource

_READERS = {TOML: toml.read, JSON: app_json.read}  # the first that exists has precedence
NAMES = tuple(_READERS)


def read(files: Mapping[str, bytes]) -> AppFile:
    """Return the manifest. Raise only BadSource.

    `files` has those of NAMES that the source has, by name.
    Of a file that is too large, it has at least as many bytes as show that.
    """
    name = next((name for name in NAMES if name in files), None)
    if name is None:
        return AppFile()
    found = _READERS[name](_text(name, files[name]))
    others = [other for other in NAMES if other in files and other != name]
    if not others:
        return found
    return replace(found, notes=(f"{name} is used; {', '.join(others)} is ignored.", *found.notes))


def _text(name: str, data: bytes) -> str:
    if len(data) > LARGEST:
        raise BadSource(
            f"{name} is larger than {Bytes(LARGEST)}.",
            hint="Put data into other files of the source.",
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise BadSource(
            f"{name}, line {line}: this is not UTF-8 text.", hint="Save it as UTF-8."
        ) from None
