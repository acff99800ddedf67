"""Whose a domain is: a TXT record in its DNS, or a file where it leads today. Looks, and decides nothing about rows.

A file counts only at a place that is not ours: a name that leads here already would let any app here speak for it. So our
router answers the file's path itself, and never with a token (runtime.router.config.frontend).
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
    """What was seen: `how` it is proven, or why it is not."""

    proven: bool
    how: str = ""
    reason: str = ""


def ordinary(address: IPv4Address) -> bool:
    """Whether a request may go there: not to this machine, nor to a cloud's metadata service."""
    return not (address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified or address.is_reserved)


class Ownership:
    """One look at a time. `reachable` says which addresses may be asked for the file."""

    def __init__(self, config: NodeConfig, *, reachable: Callable[[IPv4Address], bool] = ordinary) -> None:
        self._address, self._network = config.resolver, IPv4Network(config.network)
        self._reachable = reachable

    def look(self, host: str, token: str) -> Finding:
        """By DNS, then by HTTP, which cannot speak for a wildcard."""
        base = host.removeprefix("*.")
        found, record = self._by_record(f"_slipway.{base}", token)
        if found:
            return Finding(proven=True, how="by a DNS record")
        if host != base:
            return Finding(proven=False, reason=record)
        found, file = self._by_file(host, token)
        return Finding(proven=True, how="by a file") if found else Finding(proven=False, reason=f"{record}\n{file}")

    def _by_record(self, name: str, token: str) -> tuple[bool, str]:
        try:
            answer = self._resolver().resolve(name, "TXT", search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return False, f"There is no TXT record {name}."
        except dns.exception.DNSException as error:
            return False, f"DNS did not answer for the TXT record {name}: {_said(error)}"
        values = [b"".join(row.strings).decode(errors="replace").strip() for row in answer]
        if any(secrets.compare_digest(value.encode(), token.encode()) for value in values):
            return True, ""
        return False, f"The TXT record {name} says {_quoted(values)}, and not the token."

    def _by_file(self, host: str, token: str) -> tuple[bool, str]:
        try:
            answer = self._resolver().resolve(host, "A", search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return False, f"{host} has no address yet, so no file was asked for."
        except dns.exception.DNSException as error:
            return False, f"DNS did not answer for {host}: {_said(error)}"
        # All of them have to say so: one of many may lead here, or to somebody who shares the others.
        addresses = sorted(IPv4Address(row.address) for row in answer)[:MOST_ADDRESSES]
        for address in addresses:
            if not self._reachable(address) or address in self._network:
                return False, f"{host} leads to {address}, which is not asked for a file."
            if reason := asyncio.run(_fetch(address, host, token)):
                return False, reason
        return True, ""

    def _resolver(self) -> dns.resolver.Resolver:
        resolver = dns.resolver.Resolver(configure=not self._address)
        resolver.lifetime = DNS_SECONDS
        resolver.cache = None  # a record that was just made has to be seen
        if self._address:
            address, _, port = self._address.partition(":")
            resolver.nameservers = [address]
            resolver.port = int(port or 53)
        return resolver


async def _fetch(address: IPv4Address, host: str, token: str) -> str:
    """Why the file at one address does not prove it; empty if it does. Connects to that address whatever DNS says meanwhile."""
    where = f"http://{host}{PROOF_PATH}"
    try:
        async with asyncio.timeout(HTTP_SECONDS), httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=5) as client:
            headers = {"Host": host, "Accept-Encoding": "identity", "User-Agent": "slipway"}
            async with client.stream("GET", f"http://{address}{PROOF_PATH}", headers=headers) as answer:
                if PROOF_HEADER in answer.headers:
                    return f"{host} leads to this Slipway already, where a file proves nothing: make the DNS record."
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
        return f"{where} did not answer, at {address}: {_said(error)}"
    return "" if secrets.compare_digest(body.strip(), token.encode()) else f"{where} says something else than the token, at {address}."


def _said(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:300].rstrip(".") + "."


def _quoted(values: list[str]) -> str:
    return ", ".join(f"“{value[:80]}”" for value in sorted(values)[:3])
