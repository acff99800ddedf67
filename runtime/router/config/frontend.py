"""HAProxy's rules for an incoming request: host, app, record, policy, and slot or answer. Pure.

A rule that refuses a request sets `txn.code`. The first such rule wins, and one backend gives all
these answers. A request of an app without a policy skips all rules of policies.
"""

from __future__ import annotations

from runtime.config import NodeConfig
from runtime.contract.code_explanations import EXPLAINED
from runtime.contract.error_codes import Code
from runtime.router.config import bodies, connections, headers
from runtime.router.config.conditions import (
    NO_CODE,
    has_flag,
    is_in,
    number,
    path_field,
    record_field,
    refuse,
)
from runtime.router.map_entries import PLAIN, RATE_PERIOD, SITUATIONS, Maps
from runtime.router.routes import AppSituation

ANSWERS = "answers"
_SPECIAL = "/.well-known/"  # prefix of all paths that the router itself answers
PROOF_PATH = f"{_SPECIAL}slipway-domain.txt"  # of the file that proves the ownership of a domain
_ACME_PATH = f"{_SPECIAL}acme-challenge/"
PORTAL_FLAG = "P"  # flag in the portal's record: redirect HTTP to HTTPS
PROOF_HEADER = "X-Slipway-Domain"
# the format of the router's answers, unless the client asks for another
_HTML = "!{ var(txn.as) -m found }"


def frontend(config: NodeConfig, maps: Maps) -> str:
    """Return the frontend."""
    parts = [
        _head(config),
        _lookup(maps),
        _plain(),
        _special(maps),
        _redirects(config),
        _refusals(maps),
        _path(maps),
        _hold(maps),
        _choice(),
        _answering(maps),
    ]
    return "\n".join(parts)


def counters() -> str:
    """Return the tables of the limits: by app, by app and client, and connections by address.

    The last one has room for more addresses than can have an open connection.
    """
    stored = f"gpc0,gpc0_rate({RATE_PERIOD}s),conn_cur"
    return f"""\
backend by_app from table
  stick-table type string len 64 size 100k expire 10m store {stored}

backend by_client from table
  stick-table type string len 128 size 200k expire 1m store {stored}

{connections.table()}"""


def answers(maps: Maps) -> str:
    """Return the backend of all answers that do not depend on an app's servers."""
    statuses = sorted({what.status for what in EXPLAINED.values() if what.status})
    returns = "\n".join(
        f"  http-request return status {status} {body(maps)} if {{ var(txn.status) -m str"
        f" {status} }}"
        for status in statuses
    )
    return f"""\
backend {ANSWERS} from slot
  http-request set-var(txn.status) var(txn.code),concat(-status),map_str({maps.pages})
{returns}"""


ANY_INSTANCE = "endpoint"  # the server of `woken`, whose address is that of the request


def woken() -> str:
    """Return the backends for requests that the router held in an old worker.

    The maps of such a worker still say that the app sleeps. The wake service's answer contains the
    endpoint.
    """
    return "\n\n".join(
        f"""\
backend {name} from slot
  ignore-persist if TRUE
  http-request set-dst var(txn.endpoint),field(1,:)
  http-request set-dst-port var(txn.endpoint),field(2,:)
  server {ANY_INSTANCE} 0.0.0.0:0 pool-max-conn 0{options}"""
        for name, options in (("woken", ""), ("woken_http2", " proto h2"))
    )


def body(maps: Maps) -> str:
    """Return the body of the page for `txn.code`, in the format `txn.as`.

    The page contains the request id twice. `txn.own` is the key of an app's custom page.
    """
    # This lookup finds nothing: only its variable is needed.
    form = f"%[var(txn.as,html),set-var(txn.as),map_str({maps.pages})]"
    # %ID is empty inside a `return`; unique-id is not.
    own = f"%[var(txn.own),map_str({maps.custom}),url_dec]"
    head = f"%[var(txn.code),concat(-,txn.as),map_str({maps.pages})]"
    # A custom page has no middle: then this lookup fails, and the second id is left out.
    mid = f"%[str(mid-),concat(,txn.as),map_str({maps.pages}),concat(,txn.id)]"
    tail = f"%[str(tail-),concat(,txn.as),map_str({maps.pages})]"
    own_tail = f"%[var(txn.own),concat(-tail),map_str({maps.custom}),url_dec]"
    return _page(f"{form}{own}{head}%[unique-id,set-var(txn.id)]{mid}{tail}{own_tail}")


def error(maps: Maps, status: int, code: Code) -> str:
    """Return the page for an error that HAProxy itself detects; it has one code."""
    # The lookup without a format finds nothing: only its variable is needed.
    return (
        f"  http-error status {status}"
        f" {_prefixed(f'%[str({code}),set-var(txn.code),map_str({maps.pages})]', maps)}"
    )


def fault_error(maps: Maps) -> str:
    """Return the page for an internal error of the router.

    It is never the app's custom page, which may be too large for HAProxy's buffer and so the cause.
    """
    plain = f"%[str(),set-var(txn.own)]%[var(txn.as),concat(-plain),map_str({maps.pages}),set-var(txn.as),map_str({maps.pages})]"  # noqa: E501
    code = f"%[str({Code.ROUTER_FAULT}),set-var(txn.code),map_str({maps.pages})]"
    return f"  http-error status 500 {_prefixed(plain + code, maps)}"


def no_server_error(maps: Maps) -> str:
    """Return the page for a 503 of a slot. `pages.ENDS` has the codes.

    The cases are: no server (0), no server free in time (2), and a chosen server that was not
    reached (3).
    """
    end = f"%[nbsrv,bool,mul(2),set-var(txn.end),map_str({maps.pages})]%[srv_id,bool,add(2),set-var(txn.end),map_str({maps.pages})]"  # noqa: E501
    code = f"%[var(txn.end),concat(-end),map_str({maps.pages}),set-var(txn.code),map_str({maps.pages})]"  # noqa: E501
    return f"  http-error status 503 {_prefixed(end + code, maps)}"


def _prefixed(prefix: str, maps: Maps) -> str:
    return body(maps).replace('lf-string "', f'lf-string "{prefix}', 1)


def _page(text: str) -> str:
    return (
        f'content-type "text/html; charset=utf-8" lf-string "{text}" hdr Cache-Control no-store hdr'
        " X-Slipway-Page 1"
    )


def _head(config: NodeConfig) -> str:
    return f"""\
frontend web from front
{connections.binds(config)}{connections.share(config)}
  option http-no-delay
  option idle-close-on-response
{headers.rules(config)}"""


def _lookup(maps: Maps) -> str:
    return f"""\
  http-request set-var(txn.host) req.fhdr(host),field(1,:),lower,rtrim(.)
{_record(maps)}
  http-request set-var(txn.app) var(txn.record),{record_field("app")}
  http-request set-var(txn.slot) var(txn.record),{record_field("slot")}
  http-request track-sc0 var(txn.app) table by_app if {{ var(txn.app) -m found }}"""


def _record(maps: Maps, when: str = "") -> str:
    """Return the rules that look up the record by the host, or by the app if the host names only
    it.
    """
    return f"""\
  http-request set-var(txn.record) var(txn.host),map_str({maps.hosts}){f" if {when}" if when else ""}
  http-request set-var(txn.record) var(txn.host),field(2,.,0),map_str({maps.wild}) if {when} !{{ var(txn.record) -m found }}
  http-request set-var(txn.record) var(txn.record),map_str({maps.apps}) if {when} !{{ var(txn.record) -m sub | }}"""  # noqa: E501


def _plain() -> str:
    """Return the rules that end early for an app that serves without a policy.

    All later rules check a flag, a situation or a code.
    """
    return f"""\
  http-request allow if {{ var(txn.record) -m end "{PLAIN}" }} !{{ path_beg {_SPECIAL} }}
{_state()}
{refuse(Code.BAD_REQUEST, "!{ var(txn.host) -m found }")}
{refuse(Code.UNKNOWN_HOST, "!{ var(txn.slot) -m found }")}"""


def _state(when: str = "") -> str:
    """Return the rules that set the situation and the flags.

    The common values set no variable, so that each later rule that checks one ends at once.
    """
    situation, flags = (f"var(txn.record),{record_field(name)}" for name in ("situation", "flags"))
    return f"""\
  http-request set-var(txn.situation) {situation} if {when} !{{ {situation} -m str {SITUATIONS[AppSituation.SERVING]} }}
  http-request set-var(txn.flags) {flags} if {when} !{{ {flags} -m str -- - }}"""  # noqa: E501


def _special(maps: Maps) -> str:
    """Return the rules for paths that the router answers on any host, before any refusal or
    redirect.

    These are HTTP-01 (RFC 8555, 8.3) and the proof of a domain. No app can answer there. A file
    proves a domain only on the server that the domain leads to before it leads to us.
    """
    answer = f"path,field(4,/),map_str({maps.acme})"
    return f"""\
  http-request return status 200 content-type application/octet-stream lf-string "%[{answer}]" if {{ path_beg {_ACME_PATH} }} {{ {answer} -m found }}
  http-request return status 404 content-type text/plain string "Not found" hdr {PROOF_HEADER} here if {{ path {PROOF_PATH} }}"""  # noqa: E501


def _redirects(config: NodeConfig) -> str:
    """Return the redirects to the canonical host and to HTTPS, in one step.

    The status is 308, so that a POST remains a POST.
    """
    secure = f"""
  http-request set-var(txn.to) var(txn.host) if {has_flag("t")} !{{ ssl_fc }}
  http-request set-var(txn.proto) str(https) if {has_flag("t")} !{{ ssl_fc }}"""
    portal = f"""
  http-request set-var(txn.to) var(txn.host) if {has_flag(PORTAL_FLAG)} {{ var(txn.host) -m str {config.portal_host} }} !{{ ssl_fc }}
  http-request set-var(txn.proto) str(https) if {has_flag(PORTAL_FLAG)} {{ var(txn.to) -m found }}"""  # noqa: E501
    to = "{ var(txn.to) -m found }"
    return f"""\
  http-request set-var(txn.proto) str({headers.scheme(config)})
  http-request set-var(txn.proto) str(https) if {{ ssl_fc }}
  http-request set-var(txn.canonical) var(txn.record),{record_field("canonical")} if {has_flag("h")}{secure if config.https_port else ""}{portal if config.portal_has_certificate else ""}
  http-request set-var(txn.to) var(txn.canonical) if {has_flag("h")} !{{ var(txn.canonical),strcmp(txn.host) eq 0 }}
  http-request redirect prefix "http://%[var(txn.to)]{_port(config, "http")}" code 308 if {to} {{ var(txn.proto) -m str http }}
  http-request redirect prefix "https://%[var(txn.to)]{_port(config, "https")}" code 308 if {to}
  http-request set-var(txn.hsts) var(txn.record),{record_field("hsts")} if {has_flag("s")}"""  # noqa: E501


def _port(config: NodeConfig, scheme: str) -> str:
    """Return the port of an address with its colon, or nothing for the scheme's default port.

    The scheme is the one that clients see.
    """
    port = config.https_port if scheme == "https" and config.https_port else config.http_port
    return "" if port == {"http": 80, "https": 443}[scheme] else f":{port}"


def _refusals(maps: Maps) -> str:
    client = "src,ipmask(32,64)"
    return f"""\
  http-request set-var(txn.own) var(txn.app),concat(/error) if {has_flag("e")} {_HTML}
  http-request set-var(txn.client) src,hex if {has_flag("i")}
  http-request set-var(txn.in) var(txn.app),concat(/4,txn.client),map_beg({maps.allow}) if {has_flag("i")} {{ src 0.0.0.0/0 }}
  http-request set-var(txn.in) var(txn.app),concat(/6,txn.client),map_beg({maps.allow}) if {has_flag("i")} !{{ src 0.0.0.0/0 }}
{refuse(Code.NOT_ALLOWED, f"{has_flag('i')} !{{ var(txn.in) -m found }}")}
  http-request unset-var(txn.own) if {has_flag("M")} {NO_CODE}
  http-request set-var(txn.own) var(txn.app),concat(/maintenance) if {has_flag("M")} {has_flag("m")} {_HTML} {NO_CODE}
{refuse(Code.MAINTENANCE, has_flag("M"))}
  http-request set-var(txn.as) str(own) if {{ var(txn.own) -m found }}
{number("open", "O")}
{refuse(Code.TOO_MANY_OPEN, f"{has_flag('O')} {{ sc_conn_cur(0),sub(txn.open) gt 0 }}")}
  http-request set-var(txn.client) {client} if {has_flag("r")} or {has_flag("o")}
  http-request set-var(txn.client) var(txn.app),concat(|,txn.client) if {has_flag("r")} or {has_flag("o")}
  http-request track-sc1 var(txn.client) table by_client if {has_flag("r")} or {has_flag("o")}
{number("client_open", "o")}
{refuse(Code.TOO_MANY_OPEN, f"{has_flag('o')} {{ sc_conn_cur(1),sub(txn.client_open) gt 0 }}")}
{number("client_rate", "r")}
{refuse(Code.RATE_LIMITED, f"{has_flag('r')} {{ sc_gpc0_rate(1),sub(txn.client_rate) ge 0 }}")}
{number("rate", "R")}
{refuse(Code.RATE_LIMITED, f"{has_flag('R')} {{ sc_gpc0_rate(0),sub(txn.rate) ge 0 }}")}
  http-request sc-inc-gpc0(1) if {has_flag("r")} {NO_CODE}
  http-request sc-inc-gpc0(0) if {has_flag("R")} {NO_CODE}
{number("headers", "g")}
{refuse(Code.HEADERS_TOO_LARGE, f"{has_flag('g')} {{ req.hdrs,length,sub(txn.headers) gt 0 }}")}
{bodies.rules()}
  http-request set-var(txn.salt) var(txn.record),{record_field("salt")} if {has_flag("u")}
  http-request set-var(txn.pair) req.hdr(authorization),regsub(^basic\\ +,,i) if {has_flag("u")}
  http-request set-var(txn.digest) var(txn.salt),concat(:,txn.pair),sha2(256),hex,lower if {has_flag("u")} {{ var(txn.pair) -m found }}
  http-request set-var(txn.name) var(txn.app),concat(/,txn.digest),map_str({maps.auth}) if {has_flag("u")} {{ var(txn.digest) -m found }}
{refuse(Code.SIGN_IN, f"{has_flag('u')} !{{ var(txn.name) -m found }}")}
  http-request del-header Authorization if {has_flag("u")}
  http-request set-header X-Forwarded-User %[var(txn.name)] if {has_flag("u")} {NO_CODE}"""  # noqa: E501


def _path(maps: Maps, when: str = "") -> str:
    """Return the rules that find the process type of the request's path.

    Its situation then applies instead of web's, unless the whole app sleeps.
    """
    awake = f"{{ var(txn.path) -m found }} !{is_in(AppSituation.ASLEEP)}"
    situation = f"var(txn.path),{path_field('situation')}"
    return f"""\
  http-request set-var(txn.asked) path if {when} {has_flag("p")}
  http-request set-var(txn.path) var(txn.app),concat(,txn.asked,/),map_beg({maps.paths}) if {when} {has_flag("p")}
  http-request set-var(txn.process) var(txn.path),{path_field("process")} if {when} {{ var(txn.path) -m found }}
  http-request unset-var(txn.situation) if {when} {awake}
  http-request set-var(txn.situation) {situation} if {when} {awake} !{{ {situation} -m str {SITUATIONS[AppSituation.SERVING]} }}"""  # noqa: E501


def _hold(maps: Maps) -> str:
    """Return the rules that wake the app and wait. Then they look up the app's record again.

    A request that would be refused wakes nothing. A worker from before a reload keeps its old maps.
    There the wake service's answer contains the endpoint.
    """
    asleep, holding = is_in(AppSituation.ASLEEP), is_in(AppSituation.HOLDING)
    awake = "{ var(txn.endpoint) -m found }"
    return f"""\
  http-request set-var(txn.hold) var(txn.record),{record_field("hold")} if {asleep} or {holding}
  http-request lua.wake if {asleep} {NO_CODE} or {holding} {NO_CODE}
  http-request set-var(txn.code) str({Code.WAKE_FAILED}) if {asleep} {{ var(txn.code) -m str {Code.HELD_TOO_LONG} }}
  http-request unset-var(txn.record) if {awake}
{_record(maps, awake)}
  http-request set-var(txn.slot) var(txn.record),{record_field("slot")} if {awake}
  http-request unset-var(txn.situation) if {awake}
{_state(awake)}
{_path(maps, awake)}"""  # noqa: E501


def _choice() -> str:
    """Return the rules that choose a group (a path's process type, the canary, or web) or an
    answer.
    """
    path = "{ var(txn.path) -m found }"
    past = "{ var(txn.endpoint) -m found } { var(txn.situation) -m found }"
    return f"""\
  http-request set-var(txn.slot) var(txn.path),{path_field("slot")} if {path}
  http-request set-var(txn.share) rand(100) if {has_flag("y")} !{path}
  http-request set-var(txn.share) src,hex,crc32(1),mod(100) if {has_flag("y")} {has_flag("k")} !{path}
{number("percent", "y")}
{number("token", "v")}
  http-request set-var(txn.shown) req.cook(slipway-preview) if {has_flag("v")} !{path}
  http-request set-var(txn.shown) req.hdr(X-Slipway-Preview) if {has_flag("v")} !{path} {{ req.hdr(X-Slipway-Preview) -m found }}
  http-request set-var(txn.canary) bool(1) if {has_flag("y")} !{path} {{ var(txn.share),sub(txn.percent) lt 0 }}
  http-request set-var(txn.canary) bool(1) if {has_flag("v")} {{ var(txn.shown),strcmp(txn.token) eq 0 }}
  http-request set-var(txn.slot) var(txn.record),{record_field("canary_slot")} if {{ var(txn.canary) -m found }}
  http-request set-var(txn.timeout) var(txn.record),{record_field("timeout")} if {has_flag("T")}
{_situations()}
  http-request set-var(txn.slot) str(woken) if {past}
  http-request set-var(txn.slot) str(woken_http2) if {past} {has_flag("2")}
  http-request set-var(txn.slot) str({ANSWERS}) if {{ var(txn.code) -m found }}"""  # noqa: E501


def _situations() -> str:
    awake = "{ var(txn.endpoint) -m found }"
    return "\n".join(
        [
            refuse(Code.NOT_DEPLOYED, is_in(AppSituation.NOT_DEPLOYED)),
            refuse(Code.NO_INSTANCE, is_in(AppSituation.NO_INSTANCE)),
            refuse(Code.CRASHED, is_in(AppSituation.CRASHED)),
            refuse(Code.WAKE_FAILED, f"{is_in(AppSituation.ASLEEP)} !{awake}"),
            refuse(Code.HELD_TOO_LONG, f"{is_in(AppSituation.HOLDING)} !{awake}"),
        ]
    )


def _answering(maps: Maps) -> str:
    ours = "{ res.hdr(X-Slipway-Page) -m found }"
    retry = f"var(txn.code),concat(-retry),map_str({maps.pages})"
    return f"""\
  http-after-response set-header X-Request-Id %[unique-id]
  http-after-response set-header Strict-Transport-Security "max-age=%[var(txn.hsts)]" if {{ var(txn.hsts) -m found }} {{ var(txn.proto) -m str https }}
  http-after-response allow if !{ours}
  http-after-response set-header X-Slipway-Code %[var(txn.code)]
  http-after-response set-header Retry-After %[{retry}] if {{ {retry} -m found }}
  http-after-response set-header WWW-Authenticate "Basic realm=\\"%[var(txn.host)]\\", charset=\\"UTF-8\\"" if {{ var(txn.code) -m str {Code.SIGN_IN} }}
  http-after-response set-header Content-Type application/json if {{ var(txn.as) -m str json }}
  http-after-response set-header Connection close if {{ var(txn.code) -m str {Code.BAD_REQUEST} }}
  http-after-response del-header X-Slipway-Page
  use_backend %[var(txn.slot)]"""  # noqa: E501
