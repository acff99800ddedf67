"""Translate `heroku-php-apache2 [DIR]` and `heroku-php-nginx [DIR]` of a Procfile. Pure.

The format is that of https://devcenter.heroku.com/articles/custom-php-settings.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Mapping

from runtime.errors import BadSource

_BOOT = re.compile(
    r"(?<![\w./-])(?:\./)?(?:vendor/bin/)?(heroku-(?:php|hhvm)-(?:apache2|nginx))\b([^;&|\n]*)"
)
# Options with a value: settings of Heroku's own Apache, nginx and PHP-FPM.
_WITH_VALUE = frozenset("CcFfilptu")


def translate(commands: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the commands with the server of the PHP builder instead, and notes for the log."""
    notes: list[str] = []
    found = {name: _translated(line, notes) for name, line in commands.items()}
    return found, tuple(dict.fromkeys(notes))


def _translated(line: str, notes: list[str]) -> str:
    def replaced(match: re.Match[str]) -> str:
        root, ignored = _arguments(match[1], match[2])
        command = posixpath.join("/opt/php/serve /app", root).rstrip("/")
        notes.append(f"Note: {match[1]} is replaced by `{command}`: Apache with PHP inside.")
        if ignored:
            notes.append(
                f"Warning: {match[1]} {' '.join(ignored)} is ignored, since these settings belong"
                " to Heroku's own server. Use .htaccess."
            )
        return command + (" " if match[2].endswith(" ") else "")

    return _BOOT.sub(replaced, line)


def _arguments(program: str, text: str) -> tuple[str, list[str]]:
    """Return the folder relative to the app, and the options that are ignored."""
    try:
        words = shlex.split(text)
    except ValueError:
        raise BadSource(
            f"The arguments of {program} are not valid: {text.strip()!r}.",
            hint=f"Write `web: {program} FOLDER`.",
        ) from None
    folders: list[str] = []
    ignored: list[str] = []
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            folders.append(word)
            continue
        ignored.append(word)
        if len(word) == 2 and word[1] in _WITH_VALUE and words:  # -C FILE
            ignored.append(words.pop(0))
    root = posixpath.normpath((folders or ["."])[0])
    root = root.removeprefix("/app").lstrip("/")
    if len(folders) > 1 or root.split("/")[0] == ".." or not re.fullmatch(r"[\w./ -]*", root):
        raise BadSource(
            f"{program} {text.strip()} does not name one folder of the app.",
            hint=f"Write `web: {program} FOLDER`.",
        )
    return shlex.quote(root) if root != "." else "", ignored
