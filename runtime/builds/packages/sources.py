"""The host's settings for package registries, passed to build steps: indexes, proxies,
certificates, npm's settings.

They are read from the files and variables of pip, uv, npm, go, bundler, composer, Maven and Gradle.
Only settings for downloads are passed on.
These include credentials in an index address or an `_authToken`, since a private registry
requires them.
So everybody who may deploy here can read them in a build. They are never in a layer.
"""

from __future__ import annotations

import configparser
import hashlib
import importlib.metadata
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from uv import find_uv_bin

from runtime.builds import authorities
from runtime.builds.packages import java_settings, registry_settings
from runtime.builds.steps import Tool
from runtime.config import package_environment
from runtime.containers.spec import Bind
from runtime.errors import HostLacks

_PROXIES = re.compile(r"(?i:https?_proxy|all_proxy|no_proxy)")
_UV = re.compile(
    r"UV_(?:DEFAULT_INDEX|INDEX|INDEX_URL|EXTRA_INDEX_URL|FIND_LINKS|INSECURE_HOST|HTTP_TIMEOUT"
    r"|INDEX_STRATEGY|INDEX_\w+_(?:USERNAME|PASSWORD))"
)
_NPM = re.compile(
    r"(?:@[\w.-]+:)?registry|//\S+:(?:_authToken|_auth|username|_password|email)"
    r"|(?:https?-)?proxy|noproxy|strict-ssl|replace-registry-host|omit-lockfile-registry-resolved"
    r"|fetch-[\w-]+|maxsockets"
)
_INSIDE = "/build"  # where binds appear in a build container


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSettings:
    """The variables and binds that a tool gets in addition to the source."""

    environment: Mapping[str, str]
    binds: tuple[Bind, ...]
    identity: Mapping[str, str]  # the settings that decide the result: part of a step's key


def surroundings(tool: Tool, workspace: Path) -> ToolSettings:
    """Read the host's settings for a tool. Files made for it are in `workspace`."""
    host = package_environment()
    environment = {name: value for name, value in host.items() if _PROXIES.fullmatch(name)}
    environment |= {
        "PATH": f"{_INSIDE}/bin:/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": "/tmp/home",  # noqa: S108  # inside the container
        "NO_COLOR": "1",
        "CI": "1",
    }  # inside
    binds = []
    if trusted := authorities.bundle(host):
        inside = f"{_INSIDE}/authorities.crt"
        binds.append(Bind(source=trusted, target=inside))
        environment |= dict.fromkeys(
            ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "NPM_CONFIG_CAFILE"),
            inside,
        )
    if tool is Tool.SHELL:
        return ToolSettings(environment=environment, binds=tuple(binds), identity={})
    of_tool = _for(tool, host, workspace)
    return ToolSettings(
        environment={**environment, **of_tool.environment},
        binds=(*binds, *of_tool.binds),
        identity=of_tool.identity,
    )


def _for_uv(host: Mapping[str, str]) -> ToolSettings:
    """Return the settings of uv.

    Uv reads no pip.conf, so pip's settings become uv's variables. Variables of uv on the host
    have precedence.
    """
    pip = _pip_settings(host)
    found = {
        "UV_DEFAULT_INDEX": pip.get("index-url", ""),
        "UV_INDEX": " ".join(_usable(pip.get("extra-index-url", ""))),
        "UV_FIND_LINKS": ",".join(_usable(pip.get("find-links", ""))),
        "UV_INSECURE_HOST": " ".join(pip.get("trusted-host", "").split()),
    }
    environment = {name: value for name, value in found.items() if value}
    if "UV_INDEX" in environment:
        environment["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # as pip handles several indexes
    environment |= {name: value for name, value in host.items() if _UV.fullmatch(name)}
    places = " ".join(
        environment.get(name, "").replace(",", " ")
        for name in ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS")
    )
    folders = sorted({folder for place in places.split() if (folder := _folder(place))})
    binds = [Bind(source=Path(folder), target=folder) for folder in folders]
    binds.append(Bind(source=_uv(), target=f"{_INSIDE}/bin/uv"))
    for file in (Path(host.get("HOME", "/root"), ".config/uv/uv.toml"), Path("/etc/uv/uv.toml")):
        if file.is_file():
            binds.append(Bind(source=file, target=f"{_INSIDE}/uv.toml"))
            environment["UV_CONFIG_FILE"] = f"{_INSIDE}/uv.toml"
            break
    identity = {"uv": importlib.metadata.version("uv"), "settings": _hash(environment)}
    environment |= {
        "UV_NO_CACHE": "1",
        "UV_LINK_MODE": "copy",
        "UV_COMPILE_BYTECODE": "1",
        "PYC_INVALIDATION_MODE": (
            "UNCHECKED_HASH"
        ),  # Python does not check the source's time when it imports a module
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_PROGRESS": "1",
    }
    return ToolSettings(environment=environment, binds=tuple(binds), identity=identity)


def _for(tool: Tool, host: Mapping[str, str], workspace: Path) -> ToolSettings:
    if tool is Tool.UV:
        return _for_uv(host)
    if tool in (Tool.NPM, Tool.PNPM, Tool.YARN):
        return _for_npm(host, workspace)
    if tool in (Tool.MAVEN, Tool.GRADLE):
        return _for_java(host, workspace)
    settings = registry_settings.settings(tool, host)
    return ToolSettings(
        environment={**settings, **registry_settings.WAYS.get(tool, {})},
        binds=(),
        identity={"settings": _hash(settings), "ways": str(registry_settings.REVISION)},
    )


def _for_java(host: Mapping[str, str], workspace: Path) -> ToolSettings:
    """Return the settings of Maven and Gradle. Java reads no variables for proxies."""
    own = authorities.extended_bundle(host) is not None
    text = java_settings.maven_settings(host)
    written = workspace / "maven.xml"
    written.write_text(text)
    environment = {
        "GRADLE_USER_HOME": "/tmp/gradle",  # noqa: S108  # inside the container
        "SLIPWAY_JAVA_OPTIONS": java_settings.options(host, has_own_authorities=own),
    }
    if own:
        environment["SLIPWAY_AUTHORITIES"] = f"{_INSIDE}/authorities.crt"
    binds = [Bind(source=written, target=f"{_INSIDE}/maven.xml")]
    binds += [Bind(source=Path(folder), target=folder) for folder in java_settings.folders(text)]
    if script := java_settings.gradle_script(host):
        environment["SLIPWAY_GRADLE_SCRIPT"] = f"{_INSIDE}/{script.name}"
        binds.append(Bind(source=script, target=f"{_INSIDE}/{script.name}"))
    identity = {"settings": _hash({**environment, "maven": text})}
    return ToolSettings(environment=environment, binds=tuple(binds), identity=identity)


def _for_npm(host: Mapping[str, str], workspace: Path) -> ToolSettings:
    """Return npm's own settings, reduced to those that downloads need."""
    files = [
        Path("/etc/npmrc"),
        Path("/usr/etc/npmrc"),
        Path("/usr/local/etc/npmrc"),
        Path(host.get("HOME", "/root"), ".npmrc"),
    ]
    files += [
        Path(host[name])
        for name in ("NPM_CONFIG_GLOBALCONFIG", "NPM_CONFIG_USERCONFIG")
        if name in host
    ]
    settings: dict[str, str] = {}
    for file in files:
        for line in file.read_text(errors="replace").splitlines() if file.is_file() else ():
            name, equals, value = (part.strip() for part in line.partition("="))
            if equals and _NPM.fullmatch(name):
                settings[name] = value
    environment = {
        name: value
        for name, value in host.items()
        if name in ("NPM_CONFIG_REGISTRY", "npm_config_registry")
    }
    text = "".join(f"{name}={value}\n" for name, value in sorted(settings.items()))
    written = workspace / "npmrc"
    written.write_text(text)
    identity = {"settings": _hash({**settings, **environment})}
    registry = settings.get("registry") or next(iter(environment.values()), "")
    environment |= {
        "NPM_CONFIG_USERCONFIG": f"{_INSIDE}/npmrc",
        "NPM_CONFIG_CACHE": "/tmp/npm",  # noqa: S108
    }  # inside the container
    environment |= _for_yarn(settings, registry, host)
    return ToolSettings(
        environment=environment,
        binds=(Bind(source=written, target=f"{_INSIDE}/npmrc"),),
        identity=identity,
    )


def _for_yarn(
    settings: Mapping[str, str], registry: str, host: Mapping[str, str]
) -> dict[str, str]:
    """Return the settings of yarn 2 and later, which read no npmrc
    (https://yarnpkg.com/configuration/yarnrc).

    Yarn 1 and pnpm read npmrc and ignore these variables.
    """
    proxies = {name.lower(): value for name, value in host.items() if _PROXIES.fullmatch(name)}
    found = {
        "YARN_NPM_REGISTRY_SERVER": registry.rstrip("/"),
        "YARN_HTTP_PROXY": settings.get("proxy") or proxies.get("http_proxy", ""),
        "YARN_HTTPS_PROXY": settings.get("https-proxy") or proxies.get("https_proxy", ""),
        "YARN_HTTPS_CA_FILE_PATH": f"{_INSIDE}/authorities.crt" if authorities.bundle(host) else "",
        "YARN_NPM_AUTH_TOKEN": next(
            (value for name, value in settings.items() if name.endswith(":_authToken")), ""
        ),
        "YARN_UNSAFE_HTTP_WHITELIST": (
            urlsplit(registry).hostname or "" if registry.startswith("http:") else ""
        ),
    }
    return {
        **{name: value for name, value in found.items() if value},
        "YARN_ENABLE_GLOBAL_CACHE": (
            "0"
        ),  # the archives that Plug'n'Play runs from are in the app's folder, not in a home folder
        "YARN_ENABLE_PROGRESS_BARS": "0",
        "YARN_ENABLE_TELEMETRY": "0",
    }


def _pip_settings(host: Mapping[str, str]) -> dict[str, str]:
    """Return pip's [global] and [install] settings (pip's documentation, "Configuration").

    Later files have precedence over earlier files, and variables over all files.
    """
    home = Path(host.get("HOME", "/root"))
    files = [
        Path("/etc/xdg/pip/pip.conf"),
        Path("/etc/pip.conf"),
        home / ".pip/pip.conf",
        home / ".config/pip/pip.conf",
    ]
    if chosen := host.get("PIP_CONFIG_FILE"):
        files.append(Path(chosen))
    settings: dict[str, str] = {}
    for file in files:
        parser = configparser.RawConfigParser()
        try:
            parser.read(file)
        except configparser.Error as error:
            raise HostLacks(
                f"Could not read pip's settings in {file}: {error}.", hint="Correct the file."
            ) from None
        for section in ("global", "install"):
            if parser.has_section(section):
                settings |= dict(parser.items(section))
    settings |= {
        name.removeprefix("PIP_").lower().replace("_", "-"): value
        for name, value in host.items()
        if name.startswith("PIP_")
    }
    return settings


def _usable(words: str) -> list[str]:
    """Return the package locations; a folder that this machine does not have is omitted."""
    return [
        word for word in words.split() if "://" in word.removeprefix("file://") or _folder(word)
    ]


def _folder(place: str) -> str:
    """Return the folder on this machine that a package location needs, or ""."""
    path = unquote(urlsplit(place).path) if place.startswith("file://") else place
    if not path.startswith("/") or not Path(path).is_dir():
        return ""
    # an index's pages refer to files next to it
    return (
        str(Path(path).parent)
        if place.startswith("file://") and Path(path).name == "simple"
        else path
    )


def _uv() -> Path:
    return Path(find_uv_bin()).resolve()


def _hash(settings: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode()).hexdigest()
