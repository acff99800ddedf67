"""The firewall rules of one team as text: the destinations of its instances and builds. No I/O.

Each team has four chains. `team-N` and `build-N` limit the number of connections. They jump to
`team-N-egress` and `build-N-egress`, which apply the policy. So a new policy, or a new address of a
listed host, replaces rules and keeps the connection count. An element of the map `teams` sends each
container's packets to its chain.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, collapse_addresses

from runtime.network.floods import FloodLimits
from runtime.network.leases import Owner
from runtime.network.policy import EgressPolicy, NetworkPolicy

Known = Mapping[str, Collection[IPv4Address]]  # host name -> its addresses


def chain_of(owner: Owner) -> str:
    """Return the name of the chain for a container's packets."""
    return f"{'build' if owner.build else 'team'}-{owner.team}"


def chains(node: str, team: int, limits: FloodLimits) -> str:
    """Return the rules that create or replace a team's chains; `rules` fills them."""
    lines = []
    for chain in (chain_of(Owner(team=team, build=build)) for build in (False, True)):
        lines += [
            f"add chain inet {node} {chain}-egress",
            f"add chain inet {node} {chain}",
            f"flush chain inet {node} {chain}",
            (
                f"add rule inet {node} {chain} ct state new ct count over {limits.team_flows} goto"
                " flows_over"
            ),
            f"add rule inet {node} {chain} jump {chain}-egress",
        ]
    return _text(lines)


def rules(
    node: str, team: int, policy: NetworkPolicy, known: Known, resolvers: Sequence[IPv4Address]
) -> str:
    """Return the rules that replace a team's policy.

    `resolvers`: the name servers that its containers use.
    """
    lines = []
    for build in (False, True):
        chain = f"{chain_of(Owner(team=team, build=build))}-egress"
        lines.append(f"flush chain inet {node} {chain}")
        match policy.egress_of(build=build):
            case EgressPolicy.OPEN:
                continue
            case EgressPolicy.ALLOW_LIST:
                lines += [
                    f"add rule inet {node} {chain} {match} return"
                    for match in _allowed(policy, known, resolvers)
                ]
        lines.append(f"add rule inet {node} {chain} goto refused")
    return _text(lines)


def _allowed(
    policy: NetworkPolicy, known: Known, resolvers: Sequence[IPv4Address]
) -> Iterator[str]:
    if resolvers:
        yield (
            f"ip daddr {{ {', '.join(map(str, resolvers))} }} meta l4proto {{ tcp, udp }} th"
            " dport 53"
        )
    networks: dict[tuple[int, int] | None, list[IPv4Network]] = {}
    for destination in policy.destinations:
        found = (
            [destination.network]
            if destination.network
            else [IPv4Network(address) for address in known.get(destination.name, ())]
        )
        networks.setdefault(destination.ports, []).extend(found)
    for ports, some in networks.items():
        if some:
            addresses = ", ".join(map(str, collapse_addresses(some)))
            yield f"ip daddr {{ {addresses} }}" + (
                f" meta l4proto {{ tcp, udp }} th dport {ports[0]}-{ports[1]}" if ports else ""
            )


def _text(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
