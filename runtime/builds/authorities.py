"""Certificate authorities of this host, for programs in builds.

Where a proxy re-signs TLS, no download works without them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
)
# Folders where operators put their own authorities: update-ca-certificates(8) on Debian,
# update-ca-trust(8) on Fedora, p11-kit on SUSE.
ADDED = (
    "/usr/local/share/ca-certificates",
    "/etc/pki/ca-trust/source/anchors",
    "/etc/pki/trust/anchors",
)
# The variables by which OpenSSL, requests, pip, curl, Node.js, Git and Cargo find a bundle.
VARIABLES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
)


def bundle(environment: Mapping[str, str], places: Iterable[str] = BUNDLES) -> Path | None:
    """Return the file of all authorities that this host trusts; None if there is none."""
    named = environment.get("SSL_CERT_FILE")
    return next((Path(path) for path in (named, *places) if path and Path(path).is_file()), None)


def extended_bundle(
    environment: Mapping[str, str], places: Iterable[str] = BUNDLES, added: Iterable[str] = ADDED
) -> Path | None:
    """Return the bundle only if the operator named one or added an authority to it.

    Otherwise an image's own bundle is sufficient.
    """
    has_own = "SSL_CERT_FILE" in environment or any(
        found.suffix in (".crt", ".pem")
        for folder in added
        if Path(folder).is_dir()
        for found in Path(folder).iterdir()
    )
    return bundle(environment, places) if has_own else None
