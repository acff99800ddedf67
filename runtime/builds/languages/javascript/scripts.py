"""Name the scripts of package.json that a build runs, as Heroku's Node.js buildpack does. Pure.

Source: devcenter.heroku.com/articles/nodejs-support, "Heroku-specific build steps".
"""

from __future__ import annotations

from collections.abc import Mapping

PREBUILD = "heroku-prebuild"  # before the packages are installed
POSTBUILD = "heroku-postbuild"  # instead of BUILD
BUILD = "build"
CLEANUP = "heroku-cleanup"  # after the packages that only the build needs were removed


def build_script(scripts: Mapping[str, object]) -> str:
    """Return the name of the script that builds the app, or "" if there is none."""
    return next((name for name in (POSTBUILD, BUILD) if _is_there(scripts, name)), "")


def has_prebuild(scripts: Mapping[str, object]) -> bool:
    return _is_there(scripts, PREBUILD)


def has_cleanup(scripts: Mapping[str, object]) -> bool:
    return _is_there(scripts, CLEANUP)


def notes(scripts: Mapping[str, object]) -> tuple[str, ...]:
    """Return the notes on scripts that exclude each other."""
    if _is_there(scripts, BUILD) and build_script(scripts) == POSTBUILD:
        return (f"Note: {POSTBUILD} is run instead of {BUILD}, as on Heroku.",)
    return ()


def _is_there(scripts: Mapping[str, object], name: str) -> bool:
    text = scripts.get(name)
    return isinstance(text, str) and bool(text.strip())
