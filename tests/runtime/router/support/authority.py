"""Certificate authorities for tests: a small one in Python, and pebble, a real ACME server with its
own DNS.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

_HOOK = """#!{python}
import json, sys, urllib.request
verb, name, value = sys.argv[1:]
what = {{"add": ("set-txt", {{"host": name + ".", "value": value}}), "remove": ("clear-txt", {{"host": name + "."}})}}[verb]
urllib.request.urlopen("http://127.0.0.1:{port}/" + what[0], json.dumps(what[1]).encode(), timeout=10)
"""  # noqa: E501


class TestAuthority:
    """Authority that issues every requested certificate, also invalid ones."""

    __test__ = False

    def __init__(self, name: str = "Test CA", issuer: TestAuthority | None = None) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.issuer = issuer
        by = issuer or self
        builder = self._builder(
            self.name, by.name, self.key, timedelta(days=-1), timedelta(days=100)
        )
        builder = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        self.certificate = builder.add_extension(usage, critical=True).sign(by.key, hashes.SHA256())

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue(
        self,
        *names: str,
        begins: timedelta = timedelta(days=-1),
        ends: timedelta = timedelta(days=90),
        bits: int = 0,
    ) -> tuple[str, str]:
        """Return a certificate and its key, both in PEM form."""
        key = (
            rsa.generate_private_key(65537, bits)
            if bits
            else ec.generate_private_key(ec.SECP256R1())
        )
        subject = x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, names[0] if names else "nobody")]
        )
        builder = self._builder(subject, self.name, key, begins, ends)
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
            )
        pem = (
            builder.sign(self.key, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM)
            .decode()
        )
        return (
            pem,
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            ).decode(),
        )

    @staticmethod
    def _builder(
        subject, issuer, key, begins: timedelta, ends: timedelta
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
        )
        return (
            builder.serial_number(x509.random_serial_number())
            .not_valid_before(now + begins)
            .not_valid_after(now + ends)
        )


@contextmanager
def pebble(folder: Path, *, http_port: int) -> Iterator[tuple[str, Path]]:
    """Run pebble, and yield its directory's URL and the root certificate that it uses.

    For every name, pebble looks for challenges on `http_port` of this machine. The program
    `folder`/dns-hook writes records into the DNS that pebble queries.
    """
    authority = TestAuthority("pebble's own")
    certificate, key = authority.issue("localhost")
    for name, text in (("cert.pem", certificate), ("key.pem", key), ("ca.pem", authority.pem)):
        (folder / name).write_text(text)
    ports = [free_port() for _ in range(4)]
    (folder / "dns-hook").write_text(_HOOK.format(python=sys.executable, port=ports[3]))
    (folder / "dns-hook").chmod(0o755)
    config = {
        "listenAddress": f"127.0.0.1:{ports[0]}",
        "managementListenAddress": f"127.0.0.1:{ports[1]}",
        "certificate": str(folder / "cert.pem"),
        "privateKey": str(folder / "key.pem"),
        "httpPort": http_port,
        "tlsPort": 5001,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": False,
    }
    (folder / "pebble.json").write_text(json.dumps({"pebble": config}))
    dns = [
        "pebble-challtestsrv",
        "-dns01",
        f"127.0.0.1:{ports[2]}",
        "-management",
        f"127.0.0.1:{ports[3]}",
        "-defaultIPv6",
        "",
    ]
    dns += ["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv4", "127.0.0.1"]
    server = [
        "pebble",
        "-config",
        str(folder / "pebble.json"),
        "-dnsserver",
        f"127.0.0.1:{ports[2]}",
        "-strict",
        "false",
    ]
    environment = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
    with (folder / "pebble.log").open("wb") as log:
        started = [
            subprocess.Popen(command, stdout=log, stderr=log, env=environment)
            for command in (dns, server)
        ]
    try:
        wait_for_port(ports[0])
        yield f"https://localhost:{ports[0]}/dir", folder / "ca.pem"
    finally:
        for process in started:
            process.kill()
            process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return
