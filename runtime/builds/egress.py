"""Apply a team's network policy to builds: a digest for keys, and a check of registries.

A build's own connections pass the firewall. The node fetches images, so their registry is
compared by name.
"""

from __future__ import annotations

import hashlib
import json

from runtime.containers.spec import TeamLimits
from runtime.errors import NotAllowed
from runtime.images.exchange.registry_reference import RemoteName, bare_host
from runtime.network.policy import EgressPolicy, NetworkPolicy

_HTTPS = 443


def egress_digest(limits: TeamLimits | None) -> str:
    """Return a digest of the connections that a team's builds may open; "" if they may open any."""
    egress = limits.network.egress_of(build=True) if limits is not None else EgressPolicy.OPEN
    if limits is None or egress is EgressPolicy.OPEN:
        return ""
    listed = limits.network.destinations if egress is EgressPolicy.ALLOW_LIST else ()
    document = [egress.value, sorted({str(destination) for destination in listed})]
    return hashlib.sha256(json.dumps(document).encode()).hexdigest()


def check_registry(policy: NetworkPolicy, text: str) -> None:
    """Return if builds of a team may fetch an image. NotAllowed names what the policy lacks.

    Other code refuses a text that is not a valid name.
    """
    egress = policy.egress_of(build=True)
    if egress is EgressPolicy.OPEN:
        return
    try:
        name = RemoteName.parse(text)
    except ValueError:
        return
    host = bare_host(name.host)
    port = name.host.removeprefix(f"[{host}]").removeprefix(host).removeprefix(":")
    if egress is EgressPolicy.ALLOW_LIST and policy.is_listed(host, int(port or _HTTPS)):
        return
    raise NotAllowed(
        f"The network policy of this team does not allow builds to fetch from {name.host}.",
        hint=(
            f"An admin can add {name.host} to the team's allow list, or allow builds to reach the"
            " internet."
        ),
    )
