"""Functions that read an app file from a text or a document."""

from __future__ import annotations

import json

from runtime.builds.manifest.load import read
from runtime.contract.manifest import AppFile


def toml(text: str) -> AppFile:
    return read({"slipway.toml": text.encode()})


def app_json(document: object) -> AppFile:
    return read({"app.json": json.dumps(document).encode()})
