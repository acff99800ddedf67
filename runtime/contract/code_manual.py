"""The text of docs/codes.md. Pure."""

from __future__ import annotations

from runtime.contract.code_explanations import explained


def manual() -> str:
    """Return the text of docs/codes.md."""
    parts = [
        f"## {code} {what.name}\n\n{what.title} {what.seen}\n\n"
        f"- **Means:** {what.meaning}\n- **Look at:** {what.look_at}\n- **Fix:** {what.fix}\n"
        for code, what in explained()
    ]
    return "\n".join([_MANUAL_HEAD, *parts])


_MANUAL_HEAD = """\
# Codes

If the router answers instead of an app, its answer has a code: on the page, in the header
`X-Slipway-Code`, and in the access log. A client that sends `Accept: application/json` gets it as
`code` in the JSON. The request's id is next to it. H10 to H39 are about the app, H40 to H59 about
the request, H80 and up about the platform, R14 and R15 about an instance. The portal has a page for
each, such as `/codes/H12`. Error pages link to it, and it needs no login.

`python -m runtime.router > docs/codes.md` writes this page from the modules in `runtime/contract`;
a test compares them.
"""
