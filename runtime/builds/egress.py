"""Check an image's registry against a team's network policy.

A build's own connections pass the firewall. The node fetches images, so their registry is
compared by name.
"""

from __future__ import annotations

from runtime.errors import NotAllowed
from runtime.images.exchange.registry_reference import RemoteName, bare_host
from runtime.network.policy import EgressPolicy, NetworkPolicy

_HTTPS = 443


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
