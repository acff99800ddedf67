"""Validate the names of apps and teams: DNS labels (RFC 1123), because an app's name is part of a
hostname."""

from __future__ import annotations

import re

from portal.errors import NameRefused

LONGEST = 40
RESERVED = frozenset(
    (  # names that people or programs expect to belong to the platform
        "admin",
        "api",
        "app",
        "apps",
        "assets",
        "auth",
        "autoconfig",
        "autodiscover",
        "dashboard",
        "dns",
        "ftp",
        "git",
        "host",
        "imap",
        "internal",
        "localhost",
        "login",
        "mail",
        "mta-sts",
        "mx",
        "node",
        "ns",
        "ns1",
        "ns2",
        "pop",
        "portal",
        "registry",
        "root",
        "router",
        "signin",
        "signup",
        "slipway",
        "smtp",
        "ssh",
        "static",
        "status",
        "support",
        "system",
        "webmail",
        "wpad",
        "www",
    )
)


def check_app_name(text: str) -> str:
    """Return the trimmed name, or raise NameRefused. `create_app` checks whether the name is in
    use."""
    name = check_label(text, what="app")
    if name in RESERVED:
        raise NameRefused(
            f"The name {name} is reserved for the platform.",
            hint="Choose another name, for example my-" + name + ".",
        )
    return name


def check_label(text: str, *, what: str) -> str:
    """Check that the text is a DNS label of at most 40 characters, and not an encoded international
    name (`xn--`)."""
    name = text.strip()
    rule = (
        f"Use 1 to {LONGEST} lower-case letters, digits and hyphens. Start with a letter and do not"
        " end with a hyphen."
    )
    if not name:
        raise NameRefused(f"The {what} needs a name.", hint=rule)
    if len(name) > LONGEST:
        raise NameRefused(
            f"The name has {len(name)} characters, {len(name) - LONGEST} too many.", hint=rule
        )
    if not re.fullmatch(r"[a-z](?:[a-z0-9-]*[a-z0-9])?", name):
        raise NameRefused(f"{name!r} is not a valid hostname.", hint=rule)
    if name[2:4] == "--":
        raise NameRefused(
            f"{name!r} would be read as an international name.",
            hint="Do not use hyphens as the third and fourth characters.",
        )
    return name
