"""HAProxy's rules for the syntax of a request and for headers that only the router sets. Pure.

They come before any lookup, so that ambiguous syntax never decides where a request goes. A usual
request passes a single regular expression over its headers. Only a request that fails it is checked
name by name.
"""

from __future__ import annotations

from runtime.config import NodeConfig

OWN_PREFIX = "x-slipway-"
# the only X-Slipway header that a client may send; `slot_rules` removes it
PREVIEW = f"{OWN_PREFIX}preview"
# Removed from every request. A name that ends in a hyphen matches all names with this prefix.
# docs/router.md gives the reason for each group.
ADDRESS = (  # the client's address, as proxies and content delivery networks send it
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
TARGET = (  # replacements of the request's host, scheme or path
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
# headers of the router, the variable HTTP_PROXY of CGI, and HTTP/2 upgrades (RFC 9113, 3.1:
# obsolete)
OWN = (
    "x-request-id",
    OWN_PREFIX,
    "proxy",
    "http2-settings",
)
REMOVED = (*ADDRESS, *TARGET, *OWN)

# A host name that `check` accepts, of at most 253 bytes (RFC 1035, 2.3.4) and an optional final
# dot, or an address; a port may follow.
_NAME = r"(?=[^:\r]{1,254}[:\r])[A-Za-z0-9_-]++(?:\.[A-Za-z0-9_-]++)*+\.?+"
_HOST = rf"(?:{_NAME}|\[[0-9A-Fa-f:.]{{2,45}}\])(?::[0-9]{{1,5}})?\r"
_BAD_LINES = (
    rf"host: (?!{_HOST})",
    "content-length: [0-9]{19}",  # HAProxy 2.6 reads 2**64 + 3 as 3, and forwards it unchanged
)
_CONTROL = (  # RFC 9110, 5.5: invalid in a field's value
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n"
)
_REFUSED = rf"{_CONTROL}|(?:^|\n)(?:{'|'.join(_BAD_LINES)})"
# connection headers that usual clients do not send
_HOPS = ("upgrade:", r"connection: (?!(?:keep-alive|close)\r)")
_URL = r"^https?://[^/?#@\\]+/"  # absolute URL, as clients send it to a proxy: it always has a path


def rules(config: NodeConfig) -> str:
    """Return the rules that answer ambiguous requests with 400, and remove and set the router's
    headers.
    """
    proxy = f"{{ src {' '.join(config.trusted_proxies)} }}" if config.trusted_proxies else ""
    # Names with other characters are removed first: application servers read X_Forwarded_For as
    # X-Forwarded-For.
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
{_forwarded(config, proxy)}"""  # noqa: E501


def slot_rules() -> str:
    """Return the rules of every backend.

    They remove the X-Slipway headers of the request and of the app's answer. So an app's answer
    cannot look like one of the router.
    """
    return f"""\
  http-request del-header {PREVIEW} if {{ var(txn.odd) -m found }}
  http-response del-header {OWN_PREFIX} -m beg"""


def scheme(config: NodeConfig) -> str:
    """Return the scheme of requests without our TLS: a proxy before us may have ended TLS."""
    return "http" if config.https_ourselves else config.scheme


def _usual() -> str:
    """Return the regular expression of a request whose headers need no refusal, removal or change.

    Names with the same beginning are tried together.
    """
    lines = [*(name if name.endswith("-") else f"{name}:" for name in REMOVED), *_BAD_LINES, *_HOPS]
    groups: dict[str, list[str]] = {}
    for line in lines:
        start = "x-" if line.startswith("x-") else line[0]
        groups.setdefault(start, []).append(line.removeprefix(start))
    odd = "|".join(f"{start}(?:{'|'.join(ends)})" for start, ends in groups.items())
    return rf"^(?:(?!{odd})[^\x00-\x08\x0a-\x1f\x7f]*+\r\n)*+$"


def _removal(proxy: str) -> str:
    """Return the rules that remove headers.

    A trusted proxy may set the client's address and the requested host, scheme and path, but not
    the router's own headers.
    """
    odd = "{ var(txn.odd) -m found }"
    if not proxy:
        return f"  http-request del-header '{_removed(REMOVED)}' -m reg if {odd}"
    return f"""\
  http-request del-header '{_removed(REMOVED)}' -m reg if {odd} !{proxy}
  http-request del-header '{_removed(OWN)}' -m reg if {odd} {proxy}"""


def _removed(names: tuple[str, ...]) -> str:
    return f"^(?!{PREVIEW}$)(?:{'|'.join(name if name.endswith('-') else f'{name}$' for name in names)})"  # noqa: E501


def _forwarded(config: NodeConfig, proxy: str) -> str:
    """Return the rules that set X-Forwarded-*, unless a trusted proxy has set them.

    From then on, the client's address is the last one in the trusted proxy's X-Forwarded-For.
    """
    values = [
        ("For", "%[src]", ""),
        ("Proto", scheme(config), ""),
        ("Host", "%[req.fhdr(host)]", ""),
    ]
    if config.https_port:
        values[1:2] = [("Proto", scheme(config), "!{ ssl_fc }"), ("Proto", "https", "{ ssl_fc }")]
    lines = []
    for name, value, when in values:
        sent = f"{{ req.hdr(x-forwarded-{name.lower()}) -m found }}"
        others = (
            [f"{when} !{proxy}".strip(), f"{when} !{sent}".strip()]
            if proxy
            else [when]
            if when
            else []
        )
        lines.append(
            f"  http-request set-header X-Forwarded-{name}"
            f" {value}{' if ' + ' or '.join(others) if others else ''}"
        )
    if proxy:
        lines.append(
            f"  http-request set-src req.hdr_ip(x-forwarded-for,-1) if {proxy} {{"
            " req.hdr(x-forwarded-for) -m found }"
        )
    return "\n".join(lines)
