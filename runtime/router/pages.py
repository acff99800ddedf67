"""The router's error pages, each with a sentence and the next step, as HTML or JSON. Pure.

HAProxy builds a page from entries of `pages.map`. The first entry is `CODE-html` or `CODE-json`:
the body, on one line, up to the request id. Then follow the id, `mid-html` or `mid-json`, the id
again, and `tail-html` or `tail-json`. So no entry may contain a line break. Every page ends with
the request id as text and in the link to the request's page in the portal.

An app's custom pages are in `custom.map`, split in two at the place of the id.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import escape
from urllib.parse import quote

from runtime.contract.code_explanations import EXPLAINED
from runtime.contract.error_codes import Code
from runtime.contract.notices import Explanation
from runtime.router.policy import Policy

# bytes of a custom page in the map: an answer must fit HAProxy's buffer of 16 KiB
CUSTOM_AT_MOST = 10_000
_ID = "{request_id}"


def pages_map(portal: str) -> str:
    """Return the text of `pages.map`: the bodies in both formats, their ends, status and retry
    times.

    `portal` is the portal's address. Each page links to its code's page there, and to the portal's
    page about this request for the app's owner.
    """
    shown = {code: explanation for code, explanation in EXPLAINED.items() if explanation.status}
    lines: list[str] = []
    for code, explanation in shown.items():
        docs = f"{portal}/codes/{code}"
        lines += [
            f"{code}-html {_html(code, explanation, docs)}",
            f"{code}-json {_json(code, explanation, docs)}",
        ]
    lines += [f"{code}-status {explanation.status}" for code, explanation in shown.items()]
    lines += [
        f"{code}-retry {explanation.refresh}"
        for code, explanation in shown.items()
        if explanation.refresh
    ]
    lines += [
        f"{form}-plain {plain}"
        for form, plain in (("own", "html"), ("html", "html"), ("json", "json"))
    ]
    lines += [f"{key}-end {code}" for key, code in ENDS.items()]
    details = f"{portal}/requests/"
    lines += [
        f'mid-html </code> &middot; <a href="{escape(details)}',
        f'mid-json ", "details": {json.dumps(details)[:-1]}',
    ]
    return "\n".join([*lines, f"tail-html {_HTML_TAIL}", f"tail-json {_JSON_TAIL}"]) + "\n"


# Codes of a 503 in a slot. The key says whether a server was available (nbsrv) and whether one was
# chosen (srv_id); see `no_server_error` in `config.frontend`.
ENDS = {"0": Code.NO_INSTANCE, "2": Code.QUEUED_TOO_LONG, "3": Code.UNREACHABLE}


def custom_entries(app: str, policy: Policy) -> Mapping[str, str]:
    """Return an app's entries in `custom.map`."""
    entries: dict[str, str] = {}
    for kind, html in (("error", policy.error_page), ("maintenance", policy.maintenance_page)):
        if html:
            head, tail = custom_parts(html)
            entries |= {f"{app}/{kind}": head, f"{app}/{kind}-tail": tail}
    return entries


def custom_parts(html: str) -> tuple[str, str]:
    """Return the parts of a custom page before and after the request id, each on one line.

    The parts are percent-encoded for HAProxy's `url_dec`. HAProxy writes line breaks and characters
    outside ASCII as `%XX`, so line breaks become spaces and such characters become entities.
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
    "footer{margin-top:32px;padding-top:16px;border-top:1px solid"
    " var(--line);color:var(--quiet);font-size:.8125rem}"
    "a{color:inherit}"
    "code{font:inherit;font-family:ui-monospace,SFMono-Regular,Menlo,monospace;overflow-wrap:anywhere}"
)
_HTML_TAIL = '">For the owner: what happened</a></footer></main></body></html>'
_JSON_TAIL = '"}'


def _html(code: Code, explanation: Explanation, docs: str) -> str:
    refresh = (
        f'<meta http-equiv="refresh" content="{explanation.refresh}">'
        if explanation.refresh
        else ""
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport"'
        ' content="width=device-width,initial-scale=1"><meta name="robots"'
        f' content="noindex">{refresh}<title>{escape(explanation.title)}</title>'
        f"<style>{_STYLE}</style></head><body><main>"
        f'<p class="status">{explanation.status} &middot; <a href="{escape(docs)}">{code}</a></p>'
        f"<h1>{escape(explanation.title)}</h1><p>{escape(explanation.next_step)}</p>"
        "<footer>Request <code>"
    )


def _json(code: Code, explanation: Explanation, docs: str) -> str:
    document = {
        "error": explanation.name,
        "code": code.value,
        "status": explanation.status,
        "message": explanation.title,
        "next_step": explanation.next_step,
        "docs": docs,
        "request_id": "",
    }
    return json.dumps(document).removesuffix(_JSON_TAIL)
