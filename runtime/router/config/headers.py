"""The form that a request must have, and the headers that only the router may set, as HAProxy's text. Pure.

It comes before any lookup, so nothing that is read in two ways decides where a request goes. A usual request passes one regular
expression over its headers; only one that fails it is looked at name by name.
"""

from __future__ import annotations

from runtime.config import NodeConfig

OWN_PREFIX = "x-slipway-"
PREVIEW = f"{OWN_PREFIX}preview"  # the one header of ours that a client may send; `slot_rules` removes it once it was read
# Removed from every request. A name that ends in a hyphen stands for all that begin so. docs/router.md says why each group.
ADDRESS = (  # who the client is, in the words of proxies and content delivery networks
    "x-forwarded-",
    "x-forwarded",
    "x-forwarder-",
    "x-forward-",
    "forwarded",
    "forwarded-",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-forwarded-for",
    "x-originating-ip",
    "x-remote-",
    "x-proxyuser-ip",
    "x-envoy-",
    "x-appengine-",
    "x-azure-",
    "client-ip",
    "true-client-ip",
    "cf-",
    "fastly-",
    "fly-",
)
TARGET = (  # which host, scheme or path was asked for, in place of the request's own
    "x-original-",
    "x-rewrite-url",
    "x-host",
    "x-http-host-override",
    "x-scheme",
    "x-url-scheme",
    "x-ssl-",
    "x-arr-",
    "front-end-https",
)
OWN = (  # the router's own, the variable HTTP_PROXY of CGI, and a second way to HTTP/2 (RFC 9113, 3.1: obsolete)
    "x-request-id",
    OWN_PREFIX,
    "proxy",
    "http2-settings",
)
REMOVED = (*ADDRESS, *TARGET, *OWN)

# A name as `check` lets an app have one, of 253 bytes at most (RFC 1035, 2.3.4) and one dot, or an address; a port may follow.
_NAME = r"(?=[^:\r]{1,254}[:\r])[A-Za-z0-9_-]++(?:\.[A-Za-z0-9_-]++)*+\.?+"
_HOST = rf"(?:{_NAME}|\[[0-9A-Fa-f:.]{{2,45}}\])(?::[0-9]{{1,5}})?\r"
_BAD_LINES = (
    rf"host: (?!{_HOST})",
    "content-length: [0-9]{19}",  # HAProxy 2.6 reads 2**64 + 3 as 3, and passes it on as it is
)
_CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n"  # RFC 9110, 5.5: what a field's value cannot hold
_REFUSED = rf"{_CONTROL}|(?:^|\n)(?:{'|'.join(_BAD_LINES)})"
_HOPS = ("upgrade:", r"connection: (?!(?:keep-alive|close)\r)")  # what more than a usual client says of its connection
_URL = r"^https?://[^/?#@\\]+/"  # as clients send it to a proxy: there is always a path


def rules(config: NodeConfig) -> str:
    """Refuse with 400 what can be read in two ways, remove what only the router may set, and set it."""
    proxy = f"{{ src {' '.join(config.trusted_proxies)} }}" if config.trusted_proxies else ""
    # Names with other characters go first: application servers read X_Forwarded_For as X-Forwarded-For.
    return f"""\
  option http-restrict-req-hdr-names delete
  unique-id-format %[uuid]
  unique-id-header X-Request-Id
  http-request set-var(txn.as) str(json) if {{ req.hdr(accept) -m sub application/json }} !{{ req.hdr(accept) -m sub text/html }}
  http-request deny deny_status 400 if !{{ url_beg / }} !{{ url -m reg -i '{_URL}' }} !{{ url * }}
  http-request set-uri %[pathq] if {{ url_beg http }} {{ req.ver -m beg 1 }}
  http-request set-var(txn.odd) bool(1) if !{{ req.hdrs -m reg '{_usual()}' }}
  http-request deny deny_status 400 if {{ var(txn.odd) -m found }} {{ req.hdrs -m reg '{_REFUSED}' }}
{_removal(proxy)}
  http-request del-header Upgrade if {{ var(txn.odd) -m found }} {{ req.hdr(upgrade) -m beg -i h2c http/ tls/ }}
  http-request set-header Connection upgrade if {{ var(txn.odd) -m found }} {{ req.hdr(upgrade) -m found }}
  http-request del-header Connection if {{ var(txn.odd) -m found }} !{{ req.hdr(upgrade) -m found }}
{_forwarded(config, proxy)}"""


def slot_rules() -> str:
    """What every backend does: an app sees no header of ours, and an answer of its own cannot pass for one of the router's."""
    return f"""\
  http-request del-header {PREVIEW} if {{ var(txn.odd) -m found }}
  http-response del-header {OWN_PREFIX} -m beg"""


def scheme(config: NodeConfig) -> str:
    """Of what comes without TLS of our own: there may be TLS before us."""
    return "http" if config.https_ourselves else config.scheme


def _usual() -> str:
    """All header lines of a request of which nothing is to be refused, removed or changed. What begins alike is tried together."""
    lines = [*(name if name.endswith("-") else f"{name}:" for name in REMOVED), *_BAD_LINES, *_HOPS]
    groups: dict[str, list[str]] = {}
    for line in lines:
        start = "x-" if line.startswith("x-") else line[0]
        groups.setdefault(start, []).append(line.removeprefix(start))
    odd = "|".join(f"{start}(?:{'|'.join(ends)})" for start, ends in groups.items())
    return rf"^(?:(?!{odd})[^\x00-\x08\x0a-\x1f\x7f]*+\r\n)*+$"


def _removal(proxy: str) -> str:
    """A trusted proxy may say who the visitor is and what was asked for, and nothing of the router's own."""
    odd = "{ var(txn.odd) -m found }"
    if not proxy:
        return f"  http-request del-header '{_removed(REMOVED)}' -m reg if {odd}"
    return f"""\
  http-request del-header '{_removed(REMOVED)}' -m reg if {odd} !{proxy}
  http-request del-header '{_removed(OWN)}' -m reg if {odd} {proxy}"""


def _removed(names: tuple[str, ...]) -> str:
    return f"^(?!{PREVIEW}$)(?:{'|'.join(name if name.endswith('-') else f'{name}$' for name in names)})"


def _forwarded(config: NodeConfig, proxy: str) -> str:
    """The router's own X-Forwarded-*, but for what a trusted proxy has said. From then on the visitor's address is the one it told last."""
    values = [("For", "%[src]", ""), ("Proto", scheme(config), ""), ("Host", "%[req.fhdr(host)]", "")]
    if config.https_port:
        values[1:2] = [("Proto", scheme(config), "!{ ssl_fc }"), ("Proto", "https", "{ ssl_fc }")]
    lines = []
    for name, value, when in values:
        told = f"{{ req.hdr(x-forwarded-{name.lower()}) -m found }}"
        others = [f"{when} !{proxy}".strip(), f"{when} !{told}".strip()] if proxy else [when] if when else []
        lines.append(f"  http-request set-header X-Forwarded-{name} {value}{' if ' + ' or '.join(others) if others else ''}")
    if proxy:
        lines.append(f"  http-request set-src req.hdr_ip(x-forwarded-for,-1) if {proxy} {{ req.hdr(x-forwarded-for) -m found }}")
    return "\n".join(lines)
