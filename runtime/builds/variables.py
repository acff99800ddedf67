"""The config vars that the steps of a build see. Pure.

A step that reads the whole source sees all of them, as on Heroku. A step that reads a few files,
such as a lock, sees only those that these files name and those of its tool. So most apps share the
layers of their packages with other apps, although they have config vars.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from runtime.builds.steps import Install, Tool

_OF_TOOL = {  # prefixes of the variables that configure a tool
    Tool.UV: ("UV_", "PIP_"),
    Tool.NPM: ("NPM_CONFIG_", "npm_config_"),
    Tool.PNPM: ("NPM_CONFIG_", "npm_config_", "PNPM_"),
    Tool.YARN: ("YARN_", "NPM_CONFIG_", "npm_config_"),
    Tool.GO: ("GOFLAGS", "GOPRIVATE", "CGO_"),
    Tool.COMPOSER: ("COMPOSER_",),
    Tool.BUNDLER: ("BUNDLE_",),
}
# Variables that would break the tools of a build instead of configuring the app.
_REFUSED = frozenset(
    {
        "BASH_ENV",
        "CPATH",
        "ENV",
        "GIT_DIR",
        "HOME",
        "IFS",
        "LD_LIBRARY_PATH",
        "LD_PRELOAD",
        "LIBRARY_PATH",
        "PATH",
        "PWD",
        "PYTHONHOME",
        "SHELL",
        "TMPDIR",
    }
)
# A step that installs packages would leave out those that the build needs.
_ONLY_FOR_SCRIPTS = frozenset({"NODE_ENV"})


def seen_by(
    install: Install, contents: Mapping[str, bytes], config: Mapping[str, str]
) -> dict[str, str]:
    """Return the config vars that a step sees. `contents` are the files that it reads."""
    allowed = {name: value for name, value in config.items() if name not in _REFUSED}
    if install.reads_all:
        return allowed
    prefixes = _OF_TOOL.get(install.tool, ())
    words = {
        word.decode()
        for data in contents.values()
        for word in re.findall(rb"[A-Za-z_][A-Za-z0-9_]*", data)
    }
    return {
        name: value
        for name, value in allowed.items()
        if name not in _ONLY_FOR_SCRIPTS and (name.startswith(prefixes) or name in words)
    }
