"""A certificate with its key and chain, checked before use. Pure; the time is an argument."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import NameOID

from runtime.errors import CertificateRefused

_BITS = 2048  # minimum of an RSA key
_NAME = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Certificate, chain and key as one PEM text, and their main properties."""

    pem: str
    names: tuple[str, ...]  # lower case; `*.example.com` for all names one level below
    not_before: datetime
    not_after: datetime
    issuer: str

    def covers(self, host: str) -> bool:
        """Return whether a browser accepts it for this host (RFC 6125: a wildcard matches one
        label).
        """
        return host in self.names or f"*.{host.partition('.')[2]}" in self.names

    def due(self, now: datetime) -> bool:
        """Return whether to renew it: at most a third of its lifetime is left."""
        return now >= self.not_after - (self.not_after - self.not_before) / 3


def check(
    chain: str, key: str, *, now: datetime, roots: frozenset[bytes] = frozenset()
) -> Certificate:
    """Return a valid certificate from uploaded or issued texts, or raise CertificateRefused.

    `chain` is PEM, with the host's certificate first. `roots` contains the names (DER) of
    authorities that browsers know. Their certificates may be absent from the chain.
    """
    certificates = _certificates(chain)
    leaf, private = certificates[0], _key(key)
    if private.public_key() != leaf.public_key():
        raise CertificateRefused(
            "The key does not belong to the certificate.",
            hint="Upload the key that the certificate was requested with.",
        )
    if isinstance(private, rsa.RSAPrivateKey) and private.key_size < _BITS:
        raise CertificateRefused(
            f"The key has {private.key_size} bits.",
            hint=f"Browsers require {_BITS} or more: request a certificate with a new key.",
        )
    _check_time(leaf, now)
    _check_chain(certificates, roots)
    return _whole(certificates, private)


def self_signed(name: str, *, now: datetime, days: int = 3650) -> Certificate:
    """Return a self-signed certificate for names without their own certificate.

    No browser trusts it; that is intended.
    """
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(private, hashes.SHA256())
    )
    return _whole([certificate], private)


def request(names: Sequence[str]) -> tuple[str, str]:
    """Return a new key and a certificate signing request for these names, both PEM."""
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    builder = builder.add_extension(
        x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
    )
    return (
        _key_pem(private),
        builder.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode(),
    )


def read(pem: str) -> Certificate:
    """Parse a certificate that was checked before.

    Raise CertificateRefused if its text is damaged.
    """
    return _whole(_certificates(pem), _key(pem))


def _certificates(text: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        raise CertificateRefused(
            "The certificate is not in PEM form.",
            hint="It begins with -----BEGIN CERTIFICATE-----; the chain follows in the same text.",
        ) from None


def _key(text: str) -> CertificateIssuerPrivateKeyTypes:
    try:
        start = re.search(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----",
            text,
            re.DOTALL,
        )
        private = serialization.load_pem_private_key(
            start[0].encode() if start else b"", password=None
        )
    except TypeError:
        raise CertificateRefused(
            "The key is protected by a password.",
            hint="Upload it without one: openssl pkey -in key.pem -out open.pem",
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateRefused(
            "The key is not in PEM form.", hint="It begins with -----BEGIN PRIVATE KEY-----."
        ) from None
    if not isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise CertificateRefused(
            "Browsers do not support keys of this type.", hint="Use RSA or an elliptic curve."
        )
    return private


def _check_time(leaf: x509.Certificate, now: datetime) -> None:
    if leaf.not_valid_after_utc <= now:
        raise CertificateRefused(
            f"The certificate expired on {leaf.not_valid_after_utc:%Y-%m-%d}.",
            hint="Request a new one.",
        )
    if leaf.not_valid_before_utc > now:
        raise CertificateRefused(
            f"The certificate is not valid before {leaf.not_valid_before_utc:%Y-%m-%d}.",
            hint="Wait, or check this machine's clock.",
        )


def _check_chain(certificates: Sequence[x509.Certificate], roots: frozenset[bytes]) -> None:
    for below, above in itertools.pairwise(certificates):
        try:
            below.verify_directly_issued_by(above)
        except (ValueError, TypeError, InvalidSignature):
            raise CertificateRefused(
                f"In the chain, {_called(above.subject)} did not issue {_called(below.subject)}.",
                hint="Put the host's certificate first, then its issuer, then the issuer's issuer.",
            ) from None
    top = certificates[-1]
    alone = len(certificates) == 1 and top.issuer != top.subject
    if alone and top.issuer.public_bytes() not in roots:
        raise CertificateRefused(
            f"The chain is not complete: the certificate of {_called(top.issuer)} is missing.",
            hint="Append the intermediate certificates that the authority gave with it.",
        )


def _whole(
    certificates: Sequence[x509.Certificate], private: CertificateIssuerPrivateKeyTypes
) -> Certificate:
    leaf = certificates[0]
    chain = "".join(
        certificate.public_bytes(serialization.Encoding.PEM).decode()
        for certificate in certificates
    )
    return Certificate(
        pem=chain + _key_pem(private),
        names=_names(leaf),
        not_before=leaf.not_valid_before_utc.astimezone(UTC),
        not_after=leaf.not_valid_after_utc.astimezone(UTC),
        issuer=_called(leaf.issuer),
    )


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        found = leaf.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        ).value.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        found = []
    names = tuple(name.lower() for name in found if _NAME.fullmatch(name.lower()))
    if not names:
        raise CertificateRefused(
            "The certificate names no host.",
            hint="Browsers read the subject alternative names; request a certificate with them.",
        )
    return names


def _key_pem(private: CertificateIssuerPrivateKeyTypes) -> str:
    encoding = serialization.Encoding.PEM
    return private.private_bytes(
        encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _called(name: x509.Name) -> str:
    return name.rfc4514_string() or "an authority without a name"
