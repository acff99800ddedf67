"""The host's settings for the registries of Go, Composer and Bundler, and the variables of these
tools in a build container.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from runtime.builds.steps import Tool
from runtime.errors import HostLacks

REVISION = 1  # of WAYS; increased when a change of WAYS changes the result of a step
WAYS: Mapping[Tool, Mapping[str, str]] = {
    Tool.GO: {
        "CGO_ENABLED": "0",  # static, since the program runs in an image without libraries
        "GOTOOLCHAIN": "local",  # the version was chosen and logged when the build was planned
        "GOMODCACHE": "/opt/go/modules",
        "GOCACHE": "/opt/go/cache",
        "GOTELEMETRY": "off",
    },
    Tool.COMPOSER: {
        "COMPOSER_ALLOW_SUPERUSER": "1",  # root of the container's own user namespace
        "COMPOSER_CACHE_DIR": "/dev/null",
        "COMPOSER_HOME": "/tmp/composer",  # noqa: S108  # inside the container
        "COMPOSER_NO_AUDIT": "1",
    },
    Tool.BUNDLER: {
        "GEM_HOME": "/opt/bundle",
        "BUNDLE_WITHOUT": "development:test",
        "BUNDLE_SILENCE_ROOT_WARNING": "1",
        "BUNDLE_IGNORE_MESSAGES": "1",
        "BUNDLE_APP_CONFIG": ("/tmp/bundle"),  # noqa: S108  # not what a developer's own .bundle/config says
        "MAKEFLAGS": "-j2",
    },
}
_GO = re.compile(r"GO(?:PROXY|SUMDB|NOSUMDB|NOPROXY|PRIVATE|INSECURE|VCS|AUTH)")
_BUNDLE = re.compile(r"BUNDLE_(?:MIRROR__\w+|\w+__\w+|SSL_\w+|TIMEOUT|RETRY|REDIRECT)")
_COMPOSER = re.compile(
    r"COMPOSER_(?:AUTH|CAFILE|DISABLE_NETWORK|MIRROR_PATH_REPOS|IPRESOLVE|PROCESS_TIMEOUT)"
)


def settings(tool: Tool, host: Mapping[str, str]) -> dict[str, str]:
    """Return variables for `tool` from the host's variables and files, with credentials.

    HostLacks: a file is not readable.
    """
    home = Path(host.get("HOME", "/root"))
    if tool is Tool.GO:
        file = Path(host.get("GOENV") or home / ".config/go/env")  # cmd/go, "go help environment"
        lines = dict(
            line.split("=", 1)
            for line in _text(file).splitlines()
            if "=" in line and not line.startswith("#")
        )
        return {name: value for name, value in {**lines, **host}.items() if _GO.fullmatch(name)}
    if tool is Tool.BUNDLER:
        found = re.findall(
            r"^(BUNDLE_\w+): \"?(.*?)\"?$", _text(home / ".bundle/config"), re.MULTILINE
        )  # bundle-config(1)
        return {
            name: value
            for name, value in {**dict(found), **host}.items()
            if _BUNDLE.fullmatch(name)
        }
    if tool is Tool.COMPOSER:
        given = {name: value for name, value in host.items() if _COMPOSER.fullmatch(name)}
        folder = Path(host.get("COMPOSER_HOME") or home / ".config/composer")
        if "COMPOSER_AUTH" not in given and (text := _text(folder / "auth.json")):
            given["COMPOSER_AUTH"] = json.dumps(_object(text, folder / "auth.json"), sort_keys=True)
        return given
    return {}


def _object(text: str, file: Path) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise HostLacks(
            f"Could not read Composer's credentials in {file}: {error}.", hint="Correct the file."
        ) from None


def _text(file: Path) -> str:
    return file.read_text(errors="replace") if file.is_file() else ""
