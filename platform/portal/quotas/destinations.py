"""Parse allow lists: the hosts and networks that a team's containers may connect to. Pure. The node
uses the same rules."""

from __future__ import annotations

import re
from ipaddress import IPv4Network

from portal.errors import ValueRefused

MOST = 200  # lines
_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
)
_LINE = re.compile(r"(?P<host>[^:\s]+)(?::(?P<first>\d{1,5})(?:-(?P<last>\d{1,5}))?)?", re.ASCII)
_HINT = (
    "Use one line per entry: HOST, HOST:PORT, ADDRESS/BITS or ADDRESS/BITS:PORT-PORT, for example"
    " api.example.com:443."
)


def parse(text: str) -> list[str]:
    """Return the lines as they are stored: lower case, unique and sorted. ValueRefused names the
    wrong line."""
    lines = list(
        dict.fromkeys(_checked(line.strip().lower()) for line in text.splitlines() if line.strip())
    )
    if len(lines) > MOST:
        raise ValueRefused(
            f"The allow list has {len(lines)} lines. The maximum is {MOST}.", field="destinations"
        )
    return lines


def _checked(line: str) -> str:
    match = _LINE.fullmatch(line)
    if match is None:
        raise _refused(line, "it is not a host, an address or a network")
    if (
        match["first"]
        and not 1 <= int(match["first"]) <= int(match["last"] or match["first"]) <= 65535
    ):
        raise _refused(line, "ports are from 1 to 65535, and the lower port comes first")
    host = match["host"].removesuffix(".")
    if "/" in host or host.replace(".", "").isdecimal():
        try:
            IPv4Network(host)
        except ValueError as error:
            raise _refused(line, f"it is not an IPv4 address or network ({error})") from None
    elif "*" in host:
        raise _refused(line, "addresses of a wildcard cannot be looked up, so list each host")
    elif not _NAME.fullmatch(host):
        raise _refused(line, "it is not a valid hostname")
    return line


def _refused(line: str, why: str) -> ValueRefused:
    return ValueRefused(
        f"The line {line[:80]!r} is not valid: {why}.", field="destinations", hint=_HINT
    )
