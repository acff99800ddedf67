"""Which connections HAProxy accepts, as its text: the ports, and how many one address may hold. Pure."""

from __future__ import annotations

from runtime.config import NodeConfig
from runtime.router.addresses import places

MOST = 8000  # open at once, of all clients together; the rest wait in the kernel
FREE = 8  # of each address, however full the router is: a browser opens six


def binds(config: NodeConfig) -> str:
    """HTTP, and HTTPS with the certificate that fits the name asked for (SNI)."""
    proxied = " accept-proxy" if config.proxy_protocol else ""
    options = {"http": "", "https": f" ssl crt-list {config.certificates / 'list'} alpn h2,http/1.1"}
    return "\n".join(f'  bind "${{{place.variable}}}"{proxied}{options[place.name]}' for place in places(config))


def share(config: NodeConfig) -> str:
    """Reject what is over an address's share: own connections times (100 - share), plus all connections times share, over MOST times share.

    So an address alone holds `share` percent. K addresses that take all they can hold 1/(K+1) of the whole each, at 50 percent, and
    leave as much to all others (dynamic thresholds: Choudhury and Hahne, 1998). Connections count from the moment they are accepted,
    before TLS and headers: those are what slow clients never finish. With the PROXY protocol the address is known only once its line is
    there: what sends none is the balancer's.
    """
    percent = config.client_share
    if percent == 100:
        return ""
    stage = "session" if config.proxy_protocol else "connection"
    many = f"{{ sc_conn_cur(2) gt {FREE} }}" + (f" !{{ src {' '.join(config.trusted_proxies)} }}" if config.trusted_proxies else "")
    return f"""
  tcp-request {stage} track-sc2 src,ipmask(32,64) table by_address
  tcp-request {stage} set-var(sess.all) fe_conn,mul({percent}) if {many}
  tcp-request {stage} reject if {many} {{ sc_conn_cur(2),mul({100 - percent}),add(sess.all) gt {MOST * percent} }}"""


def table() -> str:
    """Counts connections by address, for more addresses than can have one open."""
    return f"""\
backend by_address from table
  stick-table type ipv6 size {2 * MOST} expire 10s store conn_cur"""
