"""The certificates that the router serves: one file each, told to a running HAProxy without a reload.

The file first, then the same by the Runtime API; a start reads the files. Which one a browser is shown is decided by the
name it asks for (SNI); for a name without one it is a self-signed certificate that no browser trusts.
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
ONLY = "for_"  # begins the names that `name_for` gives
_NAME = re.compile(r"[a-z0-9_-][a-z0-9_.-]{0,250}")


def name_for(host: str) -> str:
    """What to call a certificate that is shown for one host alone, whatever else it names: what one team uploads for its domain
    must not be shown for another's. A host with `*` is a wildcard; none has `_` in it.
    """
    return ONLY + host.replace("*", "_")


class Certificates:
    """Of one node. Names are the caller's: a custom domain's, for example. Any root process may call it, one at a time."""

    def __init__(self, config: NodeConfig) -> None:
        self._folder = config.certificates
        self._list = self._folder / "list"
        self._lock = config.locks / "certificates"
        self._api = RuntimeApi(config.router_socket, config.run / "router-master.sock")

    def prepare(self) -> None:
        """See that HAProxy can start: the folder, the default, and a list that fits the files."""
        with journal.lock(self._lock):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not self._path(_DEFAULT).exists():
                journal.write_atomic(self._path(_DEFAULT), self_signed("slipway.invalid", now=datetime.now(UTC)).pem.encode())
            self._write_list()

    def install(self, name: str, certificate: Certificate) -> None:
        """Serve a checked certificate for its names, from now on; one of the same name is replaced without a gap."""
        with journal.lock(self._lock):
            path = self._path(name)
            before = self._read(name)
            journal.write_atomic(path, certificate.pem.encode())
            self._write_list()
            try:
                known = str(path) in self._api.ask("show ssl cert").split()
                if not known:
                    self._expect("New empty certificate store", self._api.ask(f"new ssl cert {path}"))
                self._expect("transaction", self._api.give(f"set ssl cert {path}", certificate.pem))
                self._expect("Success", self._api.ask(f"commit ssl cert {path}"))
                listed = str(path) in self._api.ask(f"show ssl crt-list {self._list}").split()
                if not listed or before is None or before.names != certificate.names:
                    if listed:
                        self._api.ask(f"del ssl crt-list {self._list} {path}")
                    self._expect("Success", self._api.give(f"add ssl crt-list {self._list}", self._line(name, certificate)))
            except RouterDown:
                return  # its next start reads the files

    def remove(self, name: str) -> None:
        """Serve it no more. Removing an unknown one succeeds."""
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
        """What there are files of, without the default and without a look inside."""
        return {path.stem for path in self._folder.glob("[!.]*.pem")} - {_DEFAULT}

    def get(self, name: str) -> Certificate | None:
        """One of them; None where there is none, or a damaged one."""
        return self._read(name)

    def all(self) -> dict[str, Certificate]:
        """What is served, by name, without the default."""
        return {name: found for name in sorted(self.names()) if (found := self._read(name)) is not None}

    def due(self, now: datetime) -> list[str]:
        """Names of those to renew, the first to expire first."""
        found = self.all()
        return sorted((name for name in found if found[name].due(now)), key=lambda name: found[name].not_after)

    def _write_list(self) -> None:
        """HAProxy takes the first as the default; one that is damaged is left out, so that the rest is served."""
        lines = [str(self._path(_DEFAULT)), *(self._line(name, one) for name, one in self.all().items())]
        text = "".join(f"{line}\n" for line in lines).encode()
        if not self._list.exists() or self._list.read_bytes() != text:
            journal.write_atomic(self._list, text)

    def _line(self, name: str, certificate: Certificate) -> str:
        names = (name.removeprefix(ONLY).replace("_", "*"),) if name.startswith(ONLY) else certificate.names
        return f"{self._path(name)} {' '.join(names)}"

    def _read(self, name: str) -> Certificate | None:
        try:
            return read(self._path(name).read_text())
        except (FileNotFoundError, CertificateRefused):
            return None

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise RouterRefused(f"No certificate can be called {name!r}.", hint="Use the host's name, with _ for the star of a wildcard.")
        return self._folder / f"{name}.pem"

    @staticmethod
    def _expect(word: str, said: str) -> None:
        if word.lower() not in said.lower():
            raise RouterRefused(
                f"The router did not take the certificate. It said: {' '.join(said.split())}", hint="It is tried again by itself."
            )


def known_roots() -> frozenset[bytes]:
    """Names of the authorities that this machine trusts, for `certificate.check`."""
    context = ssl.create_default_context()
    return frozenset(x509.load_der_x509_certificate(one).subject.public_bytes() for one in context.get_ca_certs(binary_form=True))
