"""What an app or a team may be called: a DNS label (RFC 1123), since an app's name is a host name too."""

from __future__ import annotations

import re

from portal.errors import NameRefused

LONGEST = 40
RESERVED = frozenset(
    (  # names that people or programs expect to be the platform's own
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
    """The name, trimmed; NameRefused says what is wrong with it. Whether it is taken is `create_app`'s to find out."""
    name = check_label(text, what="app")
    if name in RESERVED:
        raise NameRefused(f"The name {name} is kept for the platform.", hint="Choose another, for example my-" + name + ".")
    return name


def check_label(text: str, *, what: str) -> str:
    """A DNS label of at most 40 characters; it must also not look like an encoded international name (`xn--`)."""
    name = text.strip()
    rule = f"Use 1 to {LONGEST} lower-case letters, digits and hyphens, a letter first and no hyphen last."
    if not name:
        raise NameRefused(f"The {what} needs a name.", hint=rule)
    if len(name) > LONGEST:
        raise NameRefused(f"The name is {len(name)} characters long, {len(name) - LONGEST} too many.", hint=rule)
    if not re.fullmatch(r"[a-z](?:[a-z0-9-]*[a-z0-9])?", name):
        raise NameRefused(f"{name!r} cannot be the name of a host.", hint=rule)
    if name[2:4] == "--":
        raise NameRefused(f"{name!r} would be read as an international name.", hint="Do not put two hyphens at the third place.")
    return name
