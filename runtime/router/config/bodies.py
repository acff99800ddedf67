"""HAProxy's rules for an app's limit on the size of bodies. Pure.

A body without a length is refused, since HAProxy 2.6 cannot count it while it passes.
"""

from __future__ import annotations

from runtime.contract.error_codes import Code
from runtime.router.config.conditions import NO_CODE, has_flag, number, refuse

_LENGTH = "{ req.hdr(content-length) -m found }"
_HTTP2 = "{ req.ver -m beg 2 }"


def rules() -> str:
    """Return the rules that refuse a body over the limit, or one whose length is not known."""
    limited = has_flag("b")
    return f"""\
{number("body", "b")}
{refuse(Code.BODY_TOO_LARGE, f"{limited} {{ req.hdr_val(content-length),sub(txn.body) gt 0 }}")}
{refuse(Code.LENGTH_REQUIRED, f"{limited} !{_LENGTH} {{ req.hdr(transfer-encoding) -m found }}")}
{refuse(Code.LENGTH_REQUIRED, f"{limited} !{_LENGTH} {_HTTP2} {{ method POST PUT PATCH }}")}
{_unexpected()}"""


def _unexpected() -> str:
    """Return the rules that refuse an HTTP/2 body without a length that follows any other method.

    The end of an HTTP/2 stream shows that a request has no body. It may follow the headers in
    a frame of its own. If large headers fill the buffer, HAProxy does not wait: then the request is
    refused, because its end is not known. A WebSocket (RFC 8441) has no end and no body.
    """
    without_length = f"{has_flag('b')} {_HTTP2} !{_LENGTH} !{{ req.hdr(upgrade) -m found }}"
    refusals = (
        refuse(Code.LENGTH_REQUIRED, f"{without_length} {body}")
        for body in ("{ req.body_size gt 0 }", "!{ internal.htx.has_eom }")
    )
    wait = f"  http-request wait-for-body time 10s at-least 1 if {without_length} {NO_CODE}"
    return "\n".join((wait, *refusals))
