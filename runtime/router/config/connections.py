"""HAProxy's configuration of ports, and of the connection limit per client address. Pure."""

from __future__ import annotations

from runtime.config import NodeConfig
from runtime.router.addresses import places

MOST = 8000  # open connections of all clients; more wait in the kernel
FREE = 8  # always allowed per address, even if the router is full: a browser opens six


def binds(config: NodeConfig) -> str:
    """Return the `bind` lines of HTTP and HTTPS.

    The requested name (SNI) selects the certificate.
    """
    proxied = " accept-proxy" if config.proxy_protocol else ""
    options = {
        "http": "",
        "https": f" ssl crt-list {config.certificates / 'list'} alpn h2,http/1.1",
    }
    return "\n".join(
        f'  bind "${{{place.variable}}}"{proxied}{options[place.name]}' for place in places(config)
    )


def share(config: NodeConfig) -> str:
    """Return the rules that reject connections beyond an address's share.

    The condition is: own connections * (100 - share) + all connections * share > MOST * share. So a
    single address can hold `share` percent. At 50 percent, K addresses at their limit get 1/(K+1)
    of MOST each, and leave as much for all others (dynamic thresholds: Choudhury and Hahne, 1998).

    A connection counts from its acceptance, before TLS and headers, because slow clients never
    finish those. With the PROXY protocol the address is known only after its line. A connection
    without that line counts for the load balancer.
    """
    percent = config.client_share
    if percent == 100:
        return ""
    stage = "session" if config.proxy_protocol else "connection"
    many = f"{{ sc_conn_cur(2) gt {FREE} }}" + (
        f" !{{ src {' '.join(config.trusted_proxies)} }}" if config.trusted_proxies else ""
    )
    return f"""
  tcp-request {stage} track-sc2 src,ipmask(32,64) table by_address
  tcp-request {stage} set-var(sess.all) fe_conn,mul({percent}) if {many}
  tcp-request {stage} reject if {many} {{ sc_conn_cur(2),mul({100 - percent}),add(sess.all) gt {MOST * percent} }}"""  # noqa: E501


def table() -> str:
    """Return the table that counts connections by address.

    It has room for more addresses than can have an open connection.
    """
    return f"""\
backend by_address from table
  stick-table type ipv6 size {2 * MOST} expire 10s store conn_cur"""
