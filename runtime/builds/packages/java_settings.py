"""The host's settings for downloads of Maven and Gradle: mirrors, credentials, proxies and
authorities.

They are read from ~/.m2/settings.xml, ~/.gradle and the variables of proxies.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from runtime.errors import HostLacks

# What downloads need. A local repository of the host, for example, does not exist in a build.
_KEPT = ("mirrors", "servers", "proxies", "profiles", "activeProfiles")
_NAMESPACE = re.compile(r"^\{[^}]*\}")
# A key store that the build makes of the host's authorities; Java cannot read them otherwise.
_TRUSTED = (
    "-Djavax.net.ssl.trustStore=/tmp/authorities.p12",
    "-Djavax.net.ssl.trustStorePassword=changeit",
)
_SYSTEM_PROPERTY = re.compile(r"^systemProp\.(https?\.(?:proxy\w+|nonProxyHosts))\s*=\s*(\S+)\s*$")


def maven_settings(host: Mapping[str, str]) -> str:
    """Return a settings.xml with what downloads need. HostLacks: the host's is not valid."""
    file = _home(host) / ".m2/settings.xml"
    settings = ET.Element("settings")
    if file.is_file():
        try:
            # the operator's own file
            root = ET.fromstring(file.read_bytes())  # noqa: S314
        except ET.ParseError as error:
            raise HostLacks(
                f"Could not read Maven's settings in {file}: {error}.", hint="Correct the file."
            ) from None
        for part in root.iter():
            part.tag = _NAMESPACE.sub("", str(part.tag))
        settings.extend(part for part in root if part.tag in _KEPT)
    return ET.tostring(settings, encoding="unicode")


def folders(settings: str) -> tuple[str, ...]:
    """Return the folders of this machine that settings name as repositories (file:///…)."""
    places = re.findall(r"<url>\s*(file:[^<\s]+)\s*</url>", settings)
    paths = {unquote(urlsplit(place).path) for place in places}
    return tuple(sorted(path for path in paths if Path(path).is_dir()))


def gradle_script(host: Mapping[str, str]) -> Path | None:
    """Return the host's init script of Gradle, which may set mirrors; None if there is none."""
    names = ("init.gradle", "init.gradle.kts")
    found = (_home(host) / ".gradle" / name for name in names)
    return next((path for path in found if path.is_file()), None)


def options(host: Mapping[str, str], *, has_own_authorities: bool) -> str:
    """Return options of Java for the host's proxies and authorities, as words of a shell."""
    return " ".join((*_proxies(host), *(_TRUSTED if has_own_authorities else ())))


def _proxies(host: Mapping[str, str]) -> Iterator[str]:
    properties = _home(host) / ".gradle/gradle.properties"
    lines = properties.read_text(errors="replace").splitlines() if properties.is_file() else ()
    matches = (_SYSTEM_PROPERTY.match(line) for line in lines)
    found = {match[1]: match[2] for match in matches if match}
    for scheme in ("http", "https"):
        name = f"{scheme}_proxy"
        address = urlsplit(host.get(name) or host.get(name.upper()) or "")
        if address.hostname:
            found[f"{scheme}.proxyHost"] = address.hostname
            found[f"{scheme}.proxyPort"] = str(address.port or 80)
    if without := host.get("no_proxy") or host.get("NO_PROXY"):
        names = (name.strip().removeprefix("*") for name in without.split(","))
        found["http.nonProxyHosts"] = "|".join(
            f"*{name}" if name.startswith(".") else name for name in names if name
        )
    for key, value in sorted(found.items()):
        yield f"-D{key}={value}"


def _home(host: Mapping[str, str]) -> Path:
    return Path(host.get("HOME", "/root"))
