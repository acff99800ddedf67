"""The router's own answers: one status sentence and what to do next, as HTML or JSON. Pure.

HAProxy picks a body from one map (`pages.map`, key `CODE-html` or `CODE-json`, the body on one line up to the request's id)
and goes on with `mid-html` or `mid-json`, the id once more, and `tail-html` or `tail-json`. So nothing here may hold a line
break, and every page ends with the request's id, as text and in the address of its page in the portal.
An app's own pages lie in `custom.map`, cut in two at the place of the id.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import escape
from urllib.parse import quote

from runtime.contract.error_codes import EXPLAINED, Code
from runtime.contract.notices import Explanation
from runtime.router.policy import Policy

CUSTOM_AT_MOST = 10_000  # bytes of an app's own page as it lies in the map: an answer must fit HAProxy's buffer of 16 KiB
_ID = "{request_id}"


def pages_map(portal: str) -> str:
    """The map file: each page's body in both forms, the ends, and what else HAProxy wants to know of a code.

    `portal` is the portal's address: each page leads to the page of its code there, and the app's owner to what happened around
    this request.
    """
    shown = {code: what for code, what in EXPLAINED.items() if what.status}
    lines: list[str] = []
    for code, what in shown.items():
        docs = f"{portal}/codes/{code}"
        lines += [f"{code}-html {_html(code, what, docs)}", f"{code}-json {_json(code, what, docs)}"]
    lines += [f"{code}-status {what.status}" for code, what in shown.items()]
    lines += [f"{code}-retry {what.refresh}" for code, what in shown.items() if what.refresh]
    lines += [f"{form}-plain {plain}" for form, plain in (("own", "html"), ("html", "html"), ("json", "json"))]
    lines += [f"{key}-end {code}" for key, code in ENDS.items()]
    details = f"{portal}/requests/"
    lines += [f'mid-html </code> &middot; <a href="{escape(details)}', f'mid-json ", "details": {json.dumps(details)[:-1]}']
    return "\n".join([*lines, f"tail-html {_HTML_TAIL}", f"tail-json {_JSON_TAIL}"]) + "\n"


# What a 503 in a slot was: by whether a server could have been chosen (nbsrv) and whether one was (srv_id); see `answers`.
ENDS = {"0": Code.NO_INSTANCE, "2": Code.QUEUED_TOO_LONG, "3": Code.UNREACHABLE}


def custom_entries(app: str, policy: Policy) -> Mapping[str, str]:
    """An app's entries in `custom.map`."""
    entries: dict[str, str] = {}
    for kind, html in (("error", policy.error_page), ("maintenance", policy.maintenance_page)):
        if html:
            head, tail = custom_parts(html)
            entries |= {f"{app}/{kind}": head, f"{app}/{kind}-tail": tail}
    return entries


def custom_parts(html: str) -> tuple[str, str]:
    """An app's page on one line, before and after the request's id, in the signs that `url_dec` makes whole again.

    HAProxy writes characters outside ASCII and line breaks as `%XX`, so those become entities and spaces.
    """
    line = re.sub(r"\s*[\r\n]+\s*", " ", html).encode("ascii", "xmlcharrefreplace").decode()
    line = re.sub(r"[\x00-\x1f\x7f]", " ", line)
    head, found, tail = line.partition(_ID)
    if not found:
        head, tail = f"{line}<!-- request ", " -->"
    return quote(head, safe=_PLAIN), quote(tail, safe=_PLAIN)


_PLAIN = "/<>='#:,.!()[]{}*-_~@$&|^`"


_STYLE = (
    ":root{color-scheme:light dark;--ink:#1c2024;--quiet:#60646c;--paper:#fcfcfd;--line:#e0e1e6}"
    "@media(prefers-color-scheme:dark){:root{--ink:#edeef0;--quiet:#b0b4ba;--paper:#111113;--line:#2e3135}}"
    "*{box-sizing:border-box}"
    "body{margin:0;min-height:100vh;display:grid;place-items:center;padding:24px;background:var(--paper);color:var(--ink);"
    "font:16px/1.6 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}"
    "main{width:100%;max-width:30rem}"
    ".status{margin:0 0 8px;color:var(--quiet);font-size:.875rem;font-variant-numeric:tabular-nums}"
    "h1{margin:0 0 12px;font-size:1.375rem;line-height:1.3;font-weight:600;letter-spacing:-.01em}"
    "p{margin:0;color:var(--quiet)}"
    "footer{margin-top:32px;padding-top:16px;border-top:1px solid var(--line);color:var(--quiet);font-size:.8125rem}"
    "a{color:inherit}"
    "code{font:inherit;font-family:ui-monospace,SFMono-Regular,Menlo,monospace;overflow-wrap:anywhere}"
)
_HTML_TAIL = '">For the owner: what happened</a></footer></main></body></html>'
_JSON_TAIL = '"}'


def _html(code: Code, what: Explanation, docs: str) -> str:
    refresh = f'<meta http-equiv="refresh" content="{what.refresh}">' if what.refresh else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">{refresh}'
        f"<title>{escape(what.title)}</title><style>{_STYLE}</style></head><body><main>"
        f'<p class="status">{what.status} &middot; <a href="{escape(docs)}">{code}</a></p>'
        f"<h1>{escape(what.title)}</h1><p>{escape(what.next_step)}</p>"
        "<footer>Request <code>"
    )


def _json(code: Code, what: Explanation, docs: str) -> str:
    document = {
        "error": what.name,
        "code": code.value,
        "status": what.status,
        "message": what.title,
        "next_step": what.next_step,
        "docs": docs,
        "request_id": "",
    }
    return json.dumps(document).removesuffix(_JSON_TAIL)
