"""The check of a domain's ownership, by a TXT record or by a file on the web server it points to.

It changes no rows. A file proves nothing if the domain already points to this platform: any app
here could then prove that it owns the domain. So our router answers the file's path itself, and
never with a token (runtime.router.config.frontend).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

import dns.exception
import dns.resolver
import httpx

from runtime.config import NodeConfig
from runtime.router.config.frontend import PROOF_HEADER, PROOF_PATH

DNS_SECONDS = 5.0
HTTP_SECONDS = 10.0  # from the connection to the last byte
LARGEST = 1024  # bytes of a file
MOST_ADDRESSES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of a check: `how` ownership was proven, or the reason why it was not."""

    proven: bool
    how: str = ""
    reason: str = ""


def ordinary(address: IPv4Address) -> bool:
    """Return False for addresses of this machine, of a cloud's metadata service, and the like."""
    return not (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address.is_reserved
    )


class Ownership:
    """The ownership check, for one thread.

    `reachable` decides which addresses may be asked for the file.
    """

    def __init__(
        self, config: NodeConfig, *, reachable: Callable[[IPv4Address], bool] = ordinary
    ) -> None:
        self._address, self._network = config.resolver, IPv4Network(config.network)
        self._reachable = reachable

    def look(self, host: str, token: str) -> Finding:
        """Check by DNS, then by HTTP. HTTP cannot prove a wildcard domain."""
        base = host.removeprefix("*.")
        found, record = self._by_record(f"_slipway.{base}", token)
        if found:
            return Finding(proven=True, how="by a DNS record")
        if host != base:
            return Finding(proven=False, reason=record)
        found, file = self._by_file(host, token)
        return (
            Finding(proven=True, how="by a file")
            if found
            else Finding(proven=False, reason=f"{record}\n{file}")
        )

    def _by_record(self, name: str, token: str) -> tuple[bool, str]:
        try:
            answer = self._resolver().resolve(name, "TXT", search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return False, f"There is no TXT record {name}."
        except dns.exception.DNSException as error:
            return False, f"DNS did not answer for the TXT record {name}: {_error_text(error)}"
        values = [b"".join(row.strings).decode(errors="replace").strip() for row in answer]
        if any(secrets.compare_digest(value.encode(), token.encode()) for value in values):
            return True, ""
        return False, f"The TXT record {name} contains {_quoted(values)}, and not the token."

    def _by_file(self, host: str, token: str) -> tuple[bool, str]:
        try:
            answer = self._resolver().resolve(host, "A", search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return False, f"{host} has no address yet, so the file was not requested."
        except dns.exception.DNSException as error:
            return False, f"DNS did not answer for {host}: {_error_text(error)}"
        # Every address must return the token. One of several addresses may be this platform's, or
        # that of somebody who shares the domain's other addresses.
        addresses = sorted(IPv4Address(row.address) for row in answer)[:MOST_ADDRESSES]
        for address in addresses:
            if not self._reachable(address) or address in self._network:
                return (
                    False,
                    (
                        f"{host} points to {address}. Slipway does not request a file from that"
                        " address."
                    ),
                )
            if reason := asyncio.run(_fetch(address, host, token)):
                return False, reason
        return True, ""

    def _resolver(self) -> dns.resolver.Resolver:
        resolver = dns.resolver.Resolver(configure=not self._address)
        resolver.lifetime = DNS_SECONDS
        resolver.cache = None  # so that a new record is seen at once
        if self._address:
            address, _, port = self._address.partition(":")
            resolver.nameservers = [address]
            resolver.port = int(port or 53)
        return resolver


async def _fetch(address: IPv4Address, host: str, token: str) -> str:
    """Return why the file at one address does not prove ownership, or an empty text if it does.

    Connects to that address, whatever DNS answers meanwhile.
    """
    where = f"http://{host}{PROOF_PATH}"
    try:
        async with (
            asyncio.timeout(HTTP_SECONDS),
            httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=5) as client,
        ):
            headers = {"Host": host, "Accept-Encoding": "identity", "User-Agent": "slipway"}
            async with client.stream(
                "GET", f"http://{address}{PROOF_PATH}", headers=headers
            ) as answer:
                if PROOF_HEADER in answer.headers:
                    return (
                        f"{host} already points to this Slipway, where a file proves nothing."
                        " Create the DNS record instead."
                    )
                if answer.status_code != httpx.codes.OK:
                    return f"{where} answered {answer.status_code}, at {address}."
                body = b""
                async for part in answer.aiter_raw(LARGEST):
                    body += part
                    if len(body) > LARGEST:
                        return f"{where} is longer than a token, at {address}."
    except TimeoutError:
        return f"{where} did not answer within {HTTP_SECONDS:g} s, at {address}."
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"{where} did not answer, at {address}: {_error_text(error)}"
    return (
        ""
        if secrets.compare_digest(body.strip(), token.encode())
        else f"{where} does not contain the token, at {address}."
    )


def _error_text(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:300].rstrip(".") + "."


def _quoted(values: list[str]) -> str:
    return ", ".join(f"“{value[:80]}”" for value in sorted(values)[:3])
