"""The node's nftables rules as text, and handing them to the kernel.

Two tables carry the node's name. `inet`: out by NAT, in only what the host itself began, nothing between containers, to
metadata services or to the host; and what fetches from a stranger's registry, known by its group (`Reach`), comes nowhere
that containers do not come either, and from a public one into no private network. `bridge`: a container sends only as the
addresses it was given. Every rule names our bridge, our interfaces or these groups, and the policies are accept: other
people's traffic passes through untouched.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network

from runtime import process
from runtime.errors import NetworkRefused, ProcessFailed
from runtime.images.remote import Reach
from runtime.kernel import Kernel
from runtime.network.addresses import METADATA, PRIVATE, gateway, hardware_address, interface_prefix
from runtime.network.leases import Lease

FLOWS = 4096  # connections one container may have open; the kernel's table of them is the whole machine's, and full it drops everybody's


def ruleset(
    *,
    node: str,
    bridge: str,
    network: IPv4Network,
    local_resolvers: Sequence[IPv4Address],
    leases: Iterable[Lease],
    proxies: Sequence[int] = (),
) -> str:
    """Both tables, replacing what is there in one transaction: connections live on, for their state is not in the tables.

    Between containers is refused before routing: later, an ICMP redirect would use up the refusal's share of the rate limit
    (net/ipv4/route.c, ip_rt_send_redirect), and the sender would wait for nothing. What goes to any of the host's own addresses
    leaves by `lo`. `proxies`: ports of this host by which it has others fetched; a name is looked up wherever that is done.
    """
    elements = ", ".join(_sender(lease) for lease in leases)
    senders = f"elements = {{ {elements} }}" if elements else ""
    addresses = ", ".join(map(str, local_resolvers))
    metadata = ", ".join(map(str, METADATA))
    to_proxies = f'oifname "lo" tcp dport {{ {", ".join(map(str, proxies))} }} accept' if proxies else ""
    resolvers = f"ip daddr {{ {addresses} }} meta l4proto {{ tcp, udp }} th dport 53 accept" if addresses else ""
    return f"""\
{removal(node)}
table inet {node} {{
  set flows {{
    type ipv4_addr
    size 65535
    flags dynamic
  }}
  chain prerouting {{
    type filter hook prerouting priority filter - 10; policy accept;
    iifname "{bridge}" ip daddr {network} ip daddr != {gateway(network)} reject with icmpx admin-prohibited
    iifname "{bridge}" ct state new add @flows {{ ip saddr ct count over {FLOWS} }} reject with icmpx admin-prohibited
  }}
  chain forward {{
    type filter hook forward priority filter - 10; policy accept;
    iifname "{bridge}" jump from_containers
    oifname "{bridge}" ct state established,related accept
    oifname "{bridge}" reject with icmpx admin-prohibited
  }}
  chain from_containers {{
    oifname "{bridge}" reject with icmpx admin-prohibited
    meta nfproto != ipv4 drop
    ip daddr {{ {metadata} }} reject with icmpx admin-prohibited
    accept
  }}
  chain input {{
    type filter hook input priority filter - 10; policy accept;
    iifname "{bridge}" jump from_containers_to_host
  }}
  chain from_containers_to_host {{
    ct state established,related accept
    icmp type echo-request accept
    {resolvers}
    reject with icmpx admin-prohibited
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {network} oifname != "{bridge}" masquerade
  }}
  chain output {{
    type filter hook output priority filter - 10; policy accept;
    meta skgid {{ {Reach.OUTWARD}, {Reach.PUBLIC} }} jump to_strangers
  }}
  chain to_strangers {{
    meta l4proto {{ tcp, udp }} th dport 53 accept
    {to_proxies}
    oifname {{ "lo", "{bridge}" }} jump refused
    ip daddr {{ {metadata} }} jump refused
    ip6 daddr {{ fe80::/10, fd00:ec2::254 }} jump refused
    meta skgid {Reach.PUBLIC} ip daddr {{ {", ".join(map(str, PRIVATE))} }} jump refused
    meta skgid {Reach.PUBLIC} ip6 daddr fc00::/7 jump refused
  }}
  chain refused {{
    meta l4proto tcp reject with tcp reset
    reject with icmpx admin-prohibited
  }}
}}
table bridge {node} {{
  set senders {{
    type ifname . ether_addr . ipv4_addr
    {senders}
  }}
  chain prerouting {{
    type filter hook prerouting priority -300; policy accept;
    iifname "{interface_prefix(node)}*" jump from_containers
  }}
  chain from_containers {{
    ether type ip iifname . ether saddr . ip saddr @senders accept
    ether type arp iifname . ether saddr . arp saddr ip @senders iifname . arp saddr ether . arp saddr ip @senders accept
    drop
  }}
}}
"""


def admission(node: str, lease: Lease) -> str:
    """Let a container send as its own addresses."""
    return f"add element bridge {node} senders {{ {_sender(lease)} }}\n"


def dismissal(node: str, lease: Lease) -> str:
    """Take that back; adding first makes it succeed where it was never given."""
    return f"{admission(node, lease)}delete element bridge {node} senders {{ {_sender(lease)} }}\n"


def removal(node: str) -> str:
    """Both tables gone, whether or not they were there."""
    return "\n".join(f"{verb} table {family} {node}" for family in ("inet", "bridge") for verb in ("add", "delete"))


def apply(text: str) -> None:
    """Have the kernel take all of it or nothing. NetworkRefused: it says no."""
    try:
        process.run(["nft", "-f", "-"], input=text.encode(), timeout=60)
    except ProcessFailed as error:
        raise _refusal(str(error)) from None


def amend(kernel: Kernel, text: str) -> None:
    """The same for a line or two, at once: in a launch nobody waits for a process."""
    if complaint := kernel.nft(text):
        raise _refusal(complaint)


def _refusal(complaint: str) -> NetworkRefused:
    needs = "nftables 1.0 or later and the kernel's nf_tables with bridge and NAT support are needed."
    return NetworkRefused(f"The firewall rules were not taken. {complaint}", hint=needs)


def _sender(lease: Lease) -> str:
    return f'"{lease.interface}" . {hardware_address(lease.address)} . {lease.address}'
