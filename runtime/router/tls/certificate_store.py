"""The certificates of the router: one file each, sent to a running HAProxy without a reload.

A change writes the file first, then sends it to the Runtime API. HAProxy reads the files at its
start. The name that a browser requests (SNI) selects the certificate. For other names HAProxy uses
a self-signed certificate, which no browser trusts.
"""

from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from runtime import journal
from runtime.config import NodeConfig
from runtime.errors import CertificateRefused, RouterRefused
from runtime.router.runtime_api import RouterDown, RuntimeApi
from runtime.router.tls.certificate import Certificate, read, self_signed

_DEFAULT = "default"
ONLY = "for_"  # prefix of the names that `name_for` returns
_NAME = re.compile(r"[a-z0-9_-][a-z0-9_.-]{0,250}")


def name_for(host: str) -> str:
    """Return the name of a certificate that is used for one host only, even if it covers more
    hosts.

    So a certificate that one team uploads for its domain is never used for another team's. The name
    has `_` for the `*` of a wildcard; no host contains `_`.
    """
    return ONLY + host.replace("*", "_")


class Certificates:
    """A node's certificates. The caller chooses names, for example a custom domain's.

    Any process of root may call it; a lock ensures that they do so one at a time.
    """

    def __init__(self, config: NodeConfig) -> None:
        self._folder = config.certificates
        self._list = self._folder / "list"
        self._lock = config.locks / "certificates"
        self._api = RuntimeApi(config.router_socket, config.run / "router-master.sock")

    def prepare(self) -> None:
        """Create what HAProxy needs to start: the folder, the default certificate, and the list of
        files.
        """
        with journal.lock(self._lock):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not self._path(_DEFAULT).exists():
                journal.write_atomic(
                    self._path(_DEFAULT),
                    self_signed("slipway.invalid", now=datetime.now(UTC)).pem.encode(),
                )
            self._write_list()

    def install(self, name: str, certificate: Certificate) -> None:
        """Use a checked certificate for its names from now on.

        It replaces a certificate of the same name without an interruption.
        """
        with journal.lock(self._lock):
            path = self._path(name)
            before = self._read(name)
            journal.write_atomic(path, certificate.pem.encode())
            self._write_list()
            try:
                known = str(path) in self._api.ask("show ssl cert").split()
                if not known:
                    self._expect(
                        "New empty certificate store", self._api.ask(f"new ssl cert {path}")
                    )
                self._expect(
                    "transaction", self._api.send_payload(f"set ssl cert {path}", certificate.pem)
                )
                self._expect("Success", self._api.ask(f"commit ssl cert {path}"))
                listed = str(path) in self._api.ask(f"show ssl crt-list {self._list}").split()
                if not listed or before is None or before.names != certificate.names:
                    if listed:
                        self._api.ask(f"del ssl crt-list {self._list} {path}")
                    self._expect(
                        "Success",
                        self._api.send_payload(
                            f"add ssl crt-list {self._list}", self._line(name, certificate)
                        ),
                    )
            except RouterDown:
                return  # its next start reads the files

    def remove(self, name: str) -> None:
        """Stop using a certificate and delete it. Removing an unknown one succeeds."""
        with journal.lock(self._lock):
            path = self._path(name)
            path.unlink(missing_ok=True)
            self._write_list()
            try:
                self._api.ask(f"del ssl crt-list {self._list} {path}")
                self._api.ask(f"del ssl cert {path}")
            except RouterDown:
                return

    def names(self) -> set[str]:
        """Return the names of all files except the default. Their content is not read."""
        return {path.stem for path in self._folder.glob("[!.]*.pem")} - {_DEFAULT}

    def get(self, name: str) -> Certificate | None:
        """Return a certificate; None if it is missing or damaged."""
        return self._read(name)

    def all(self) -> dict[str, Certificate]:
        """Return the certificates in use, by name, without the default."""
        return {
            name: found for name in sorted(self.names()) if (found := self._read(name)) is not None
        }

    def due(self, now: datetime) -> list[str]:
        """Return the names of the certificates to renew, the first to expire first."""
        found = self.all()
        return sorted(
            (name for name in found if found[name].due(now)), key=lambda name: found[name].not_after
        )

    def _write_list(self) -> None:
        """Write HAProxy's list of certificates; its first entry is the default.

        Damaged ones are left out, so that HAProxy can use the others.
        """
        lines = [
            str(self._path(_DEFAULT)),
            *(self._line(name, certificate) for name, certificate in self.all().items()),
        ]
        text = "".join(f"{line}\n" for line in lines).encode()
        if not self._list.exists() or self._list.read_bytes() != text:
            journal.write_atomic(self._list, text)

    def _line(self, name: str, certificate: Certificate) -> str:
        names = (
            (name.removeprefix(ONLY).replace("_", "*"),)
            if name.startswith(ONLY)
            else certificate.names
        )
        return f"{self._path(name)} {' '.join(names)}"

    def _read(self, name: str) -> Certificate | None:
        try:
            return read(self._path(name).read_text())
        except (FileNotFoundError, CertificateRefused):
            return None

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise RouterRefused(
                f"{name!r} is not a valid name of a certificate.",
                hint="Use the host's name, with _ for the star of a wildcard.",
            )
        return self._folder / f"{name}.pem"

    @staticmethod
    def _expect(word: str, said: str) -> None:
        if word.lower() not in said.lower():
            raise RouterRefused(
                f"HAProxy did not accept the certificate. Its answer: {' '.join(said.split())}",
                hint="Slipway retries this automatically.",
            )


def known_roots() -> frozenset[bytes]:
    """Return the names of the authorities that this machine trusts, for `certificate.check`."""
    context = ssl.create_default_context()
    return frozenset(
        x509.load_der_x509_certificate(root).subject.public_bytes()
        for root in context.get_ca_certs(binary_form=True)
    )
