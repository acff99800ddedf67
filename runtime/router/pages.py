"""The router's own answers: one status sentence and what to do next, as HTML or JSON. Pure.

HAProxy picks a body from one map (`pages.map`, key `NAME-html` or `NAME-json`, the body on one line up to the request's id)
and closes it with `tail-html` or `tail-json`. So nothing here may hold a line break, and every page ends with the request id.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from html import escape

from runtime.router.table import AppSituation


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One answer of the router's own. `refresh`: seconds after which a browser tries again by itself, 0 for never."""

    name: str
    status: int
    title: str
    next_step: str
    refresh: int = 0


UNKNOWN = Page(
    name="unknown",
    status=404,
    title="There is no app at this address.",
    next_step="Check the address. A newly created app answers here as soon as it is deployed.",
)
UNREACHABLE = Page(
    name="unreachable",
    status=503,
    title="This app is not answering right now.",
    next_step="Try again in a moment. If this is your app, its log says what happened.",
)
BROKEN_ANSWER = Page(
    name="broken-answer",
    status=502,
    title="This app broke off before it had answered.",
    next_step="Try again. If this is your app, its log around this moment says why.",
)
SLOW = Page(
    name="slow",
    status=504,
    title="This app took too long to answer.",
    next_step="Try again in a moment. If this is your app, look at its log and at its CPU use.",
)
PORTAL_DOWN = Page(
    name="portal-down",
    status=503,
    title="The portal is starting.",
    next_step="This page tries again by itself. Running apps are not affected.",
    refresh=3,
)
SITUATIONS = {
    AppSituation.NOT_DEPLOYED: Page(
        name="not-deployed",
        status=503,
        title="This app has not been deployed yet.",
        next_step="If it is yours, push its code or upload an archive in the portal.",
    ),
    AppSituation.NO_INSTANCE: Page(
        name="no-instance",
        status=503,
        title="This app has no running instance.",
        next_step="It may be starting: this page tries again by itself. If it is yours, check that its web process is scaled to one or more.",
        refresh=5,
    ),
    AppSituation.CRASHED: Page(
        name="crashed",
        status=503,
        title="This app has crashed.",
        next_step="If it is yours, its log in the portal shows the last thing it said. It is started again after a pause.",
    ),
    AppSituation.ASLEEP: Page(
        name="asleep",
        status=503,
        title="This app is asleep.",
        next_step="If it is yours, start it in the portal.",
    ),
}
ALL = (UNKNOWN, UNREACHABLE, BROKEN_ANSWER, SLOW, PORTAL_DOWN, *SITUATIONS.values())


def pages_map() -> str:
    """The map file: each page's body in both forms, and the two ends."""
    lines = [f"{page.name}-{form} {body}" for page in ALL for form, body in (("html", _html(page)), ("json", _json(page)))]
    return "\n".join([*lines, f"tail-html {_HTML_TAIL}", f"tail-json {_JSON_TAIL}"]) + "\n"


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
    "code{font:inherit;font-family:ui-monospace,SFMono-Regular,Menlo,monospace;overflow-wrap:anywhere}"
)
_HTML_TAIL = "</code></footer></main></body></html>"
_JSON_TAIL = '"}'


def _html(page: Page) -> str:
    refresh = f'<meta http-equiv="refresh" content="{page.refresh}">' if page.refresh else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">{refresh}'
        f"<title>{escape(page.title)}</title><style>{_STYLE}</style></head><body><main>"
        f'<p class="status">{page.status}</p><h1>{escape(page.title)}</h1><p>{escape(page.next_step)}</p>'
        "<footer>Request <code>"
    )


def _json(page: Page) -> str:
    document = {"error": page.name, "status": page.status, "message": page.title, "next_step": page.next_step, "request_id": ""}
    return json.dumps(document).removesuffix(_JSON_TAIL)
