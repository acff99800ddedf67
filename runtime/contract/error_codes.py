"""Every way a request can end without the app's own answer: its code, and what to tell visitor and owner. Pure.

The source of the error pages, of docs/codes.md (`manual`), of what the portal tells (`as_json`), and of codes in log lines and metrics.
Numbers known from other platforms mean the same here.
"""

from __future__ import annotations

from enum import StrEnum

from runtime.contract.notices import NOTED, Explanation


class Code(StrEnum):
    """What stands in the body, in the header X-Slipway-Code and in the log. H10 to H39: the app; H40 to H59: the request;
    H80 and up: the platform."""

    CRASHED = "H10"
    QUEUED_TOO_LONG = "H11"
    TOO_SLOW = "H12"
    NO_ANSWER = "H13"
    NO_INSTANCE = "H14"
    BAD_ANSWER = "H17"
    BROKE_OFF = "H18"
    WAKE_FAILED = "H20"
    UNREACHABLE = "H21"
    CLIENT_LEFT = "H27"
    BAD_REQUEST = "H40"
    SIGN_IN = "H41"
    NOT_ALLOWED = "H43"
    UNKNOWN_HOST = "H44"
    NOT_DEPLOYED = "H45"
    BODY_TOO_LARGE = "H46"
    LENGTH_REQUIRED = "H47"
    HEADERS_TOO_LARGE = "H48"
    RATE_LIMITED = "H49"
    TOO_MANY_OPEN = "H50"
    REQUEST_TOO_SLOW = "H58"
    MAINTENANCE = "H80"
    HELD_TOO_LONG = "H82"
    PORTAL_STARTING = "H98"
    ROUTER_FAULT = "H99"


EXPLAINED: dict[Code, Explanation] = {
    Code.CRASHED: Explanation(
        name="crashed",
        status=503,
        title="This app has crashed.",
        next_step="If it is yours, its log in the portal shows the last thing it said. It is started again after a pause.",
        meaning="All instances of the process type that the request was for ended by themselves. The platform starts them again, with longer and longer pauses.",
        look_at="The app's log just before its end, and the exit code or signal beside the instance: 137 is often memory.",
        fix="Correct what ended it and deploy, or roll back to the release before. If it ran out of memory, give it more.",
    ),
    Code.QUEUED_TOO_LONG: Explanation(
        name="queued-too-long",
        status=503,
        title="This app has more requests than it can take.",
        next_step="Try again in a moment. If it is yours, give it more instances or find what makes it slow.",
        meaning="All instances had as many requests open as they may have, and none became free while this one waited.",
        look_at="Requests in flight and the 95th percentile of the app's latency; its CPU use; slow queries.",
        fix="Scale the process type out, make the slow requests faster, or move long work to a worker process.",
        refresh=10,
    ),
    Code.TOO_SLOW: Explanation(
        name="too-slow",
        status=504,
        title="This app took too long to answer.",
        next_step="Try again in a moment. If this is your app, look at its log and at its CPU use.",
        meaning="The instance had the request and did not begin to answer within the app's request timeout. It may still be at work on it.",
        look_at="The app's log under this request's id, its CPU use, and what it waits for: a database, another service, a lock.",
        fix="Give outgoing calls a timeout, move long work to a worker process, or raise the app's request timeout.",
    ),
    Code.NO_ANSWER: Explanation(
        name="no-answer",
        status=502,
        title="This app broke off before it had answered.",
        next_step="Try again. If this is your app, its log around this moment says why.",
        meaning="The instance took the request, then closed the connection without a whole and valid answer.",
        look_at="The app's log at this moment: an instance that ended, a worker killed for its time or memory. The access log tells this "
        "apart from an answer that was no HTTP (H17). On a connection that had served a request before, the visitor sees no page but a "
        "closed connection, which tells a client to try again if it may.",
        fix="Correct what ends the worker. A GET was tried again on other instances; anything else is never sent twice.",
    ),
    Code.NO_INSTANCE: Explanation(
        name="no-instance",
        status=503,
        title="This app has no running instance.",
        next_step="It may be starting: this page tries again by itself. If it is yours, check that its web process, or the one this path leads to, is scaled to one or more.",
        meaning="Nothing runs that could take the request: the process type is scaled to zero, or its instances are not healthy yet.",
        look_at="The formation in the portal, and the health check's last result.",
        fix="Scale the process type to one or more. If instances never become healthy, the timeline says what the check saw.",
        refresh=5,
    ),
    Code.BAD_ANSWER: Explanation(
        name="bad-answer",
        status=0,
        title="The app's answer was no valid HTTP.",
        next_step="",
        meaning="The instance sent something that is no HTTP answer, or headers of more than about 15,000 bytes. The visitor saw H13.",
        look_at="Which port the app listens on, and whether it speaks plain HTTP/1.1 there (or HTTP/2, where that is switched on).",
        fix="Serve HTTP on $PORT, not TLS or another protocol; keep cookies and other headers small.",
    ),
    Code.BROKE_OFF: Explanation(
        name="broke-off",
        status=0,
        title="The app broke off in the middle of its answer.",
        next_step="",
        meaning="The answer had begun, so no page can be shown: the visitor got part of it, and a closed connection.",
        look_at="The app's log at this moment; a restart or an end of the instance.",
        fix="Correct what ends the instance. In a deploy, raise the drain time if long downloads are cut.",
    ),
    Code.WAKE_FAILED: Explanation(
        name="wake-failed",
        status=503,
        title="This app was asleep and could not be woken.",
        next_step="Try again in a moment. If it is yours, its log says why it did not start.",
        meaning="The app slept, the request was held while an instance was started, and none became healthy.",
        look_at="The app's log of this moment, and the reason in its timeline.",
        fix="An app that starts slowly needs a longer hold; one that cannot start needs a correction and a deploy.",
        refresh=10,
    ),
    Code.UNREACHABLE: Explanation(
        name="unreachable",
        status=503,
        title="This app is not answering right now.",
        next_step="Try again in a moment. If this is your app, its log says what happened.",
        meaning="No instance accepted a connection, although they were healthy a moment ago. Nothing of the request reached the app.",
        look_at="Whether the app still listens: a full accept queue, a stuck process, an instance that has just ended.",
        fix="Usually passes within seconds, when the health check notices. If it lasts, the app blocks: see its CPU use and log.",
        refresh=5,
    ),
    Code.CLIENT_LEFT: Explanation(
        name="client-left",
        status=0,
        title="The client went away before the answer was complete.",
        next_step="",
        meaning="A visitor closed the page, or a client gave up. Nobody is left to be shown anything.",
        look_at="Latency: visitors leave when they wait. Many at once point to a slow app.",
        fix="Nothing, if there are few.",
    ),
    Code.BAD_REQUEST: Explanation(
        name="bad-request",
        status=400,
        title="This request is not valid HTTP.",
        next_step="If a browser sent it, delete this site's cookies and try again.",
        meaning="The request broke the rules of HTTP, could be read in two ways, or had headers of more than about 15,000 bytes. "
        "Where nothing of it can be trusted, the answer is a bare one without page and code header.",
        look_at="The client: cookies that have piled up, a hand-made client, an attempt at request smuggling.",
        fix="Correct the client; set fewer and smaller cookies.",
    ),
    Code.SIGN_IN: Explanation(
        name="sign-in",
        status=401,
        title="This app asks for a name and a password.",
        next_step="Its owner gives them out.",
        meaning="Basic auth is switched on for the app, and the request had no name and password, or wrong ones.",
        look_at="The app's settings, under access.",
        fix="Send the right ones, or switch basic auth off.",
    ),
    Code.NOT_ALLOWED: Explanation(
        name="not-allowed",
        status=403,
        title="This app does not let you in from this network.",
        next_step="If you should get in, tell its owner your address.",
        meaning="The app has a list of allowed addresses, and the client's is not on it.",
        look_at="The client's address in the access log; the list in the app's settings.",
        fix="Add the address or its network to the list.",
    ),
    Code.UNKNOWN_HOST: Explanation(
        name="unknown-host",
        status=404,
        title="There is no app at this address.",
        next_step="Check the address. A newly created app answers here as soon as it is deployed.",
        meaning="The host's name leads to this machine, but to no app.",
        look_at="The list of the app's domains; a spelling mistake in DNS or address.",
        fix="Add the domain to the app, or correct the DNS record.",
    ),
    Code.NOT_DEPLOYED: Explanation(
        name="not-deployed",
        status=503,
        title="This app has not been deployed yet.",
        next_step="If it is yours, push its code or upload an archive in the portal.",
        meaning="The app exists, and has no release.",
        look_at="The list of its builds: the first may have failed.",
        fix="Deploy it.",
    ),
    Code.BODY_TOO_LARGE: Explanation(
        name="body-too-large",
        status=413,
        title="This upload is too large.",
        next_step="Send less at a time, or ask the app's owner for a larger limit.",
        meaning="The body's length is over the app's limit. Nothing of it reached the app.",
        look_at="The limit in the app's settings, and the Content-Length in the request.",
        fix="Raise the limit, or send large files directly to an object store.",
    ),
    Code.LENGTH_REQUIRED: Explanation(
        name="length-required",
        status=411,
        title="This upload does not say how long it is.",
        next_step="Send it with a Content-Length.",
        meaning="The app limits the size of bodies, and the request streams one without stating its length, so the limit could not be kept.",
        look_at="The client: chunked transfer, or HTTP/2 without a content-length.",
        fix="Have the client state the length, or take the limit away.",
    ),
    Code.HEADERS_TOO_LARGE: Explanation(
        name="headers-too-large",
        status=431,
        title="This request's headers are too large.",
        next_step="Delete this site's cookies and try again.",
        meaning="All headers together are longer than the app's limit.",
        look_at="Cookies: they are sent with each request.",
        fix="Set fewer and smaller cookies, or raise the limit.",
    ),
    Code.RATE_LIMITED: Explanation(
        name="rate-limited",
        status=429,
        title="Too many requests.",
        next_step="Wait a few seconds, then go on more slowly.",
        meaning="The client, or all clients together, sent more requests in ten seconds than the app's settings allow.",
        look_at="Requests a second in the metrics, and in the access log whose they are.",
        fix="Slow the client down, or raise the limit.",
        refresh=10,
    ),
    Code.TOO_MANY_OPEN: Explanation(
        name="too-many-open",
        status=429,
        title="Too many requests at the same time.",
        next_step="Wait for others to finish, then try again.",
        meaning="The client, or all clients together, have more requests and WebSockets open than the app's settings allow.",
        look_at="Requests in flight in the metrics; slow requests; WebSockets that nobody closes.",
        fix="Close what is not used, or raise the limit.",
        refresh=10,
    ),
    Code.REQUEST_TOO_SLOW: Explanation(
        name="request-too-slow",
        status=408,
        title="This request took too long to arrive.",
        next_step="Check the connection and try again.",
        meaning="The client did not send all headers within ten seconds. Often nobody: browsers open connections ahead of need.",
        look_at="The client's connection. Many at once from few addresses are an attack, and cost the app nothing.",
        fix="Nothing on the app's side. The answer is a bare one, without page and code header.",
    ),
    Code.MAINTENANCE: Explanation(
        name="maintenance",
        status=503,
        title="This app is under maintenance.",
        next_step="Come back in a little while.",
        meaning="The owner has switched maintenance on. No request reaches the app; its processes go on.",
        look_at="The activity list: who switched it on, and when.",
        fix="Switch maintenance off.",
        refresh=60,
    ),
    Code.HELD_TOO_LONG: Explanation(
        name="held-too-long",
        status=503,
        title="This app is being replaced and is not back yet.",
        next_step="This page tries again by itself.",
        meaning="The request was held while its process type had no instance, and none came within the app's hold time.",
        look_at="The timeline of the rollout that is under way.",
        fix="Raise the hold time, or make the app start faster. An app without a single-writer volume needs no pause: use a rolling release.",
        refresh=5,
    ),
    Code.PORTAL_STARTING: Explanation(
        name="portal-starting",
        status=503,
        title="The portal is starting.",
        next_step="This page tries again by itself. Running apps are not affected.",
        meaning="The portal's process is not there yet, or is being replaced.",
        look_at="`make status`, then the portal's log.",
        fix="Wait. If it lasts, the log says what keeps it.",
        refresh=3,
    ),
    Code.ROUTER_FAULT: Explanation(
        name="router-fault",
        status=500,
        title="The router could not handle this request.",
        next_step="Try again. If it happens again, tell the operator the request's id.",
        meaning="A fault of the router's own, such as no memory for a buffer.",
        look_at="The router's log at this moment.",
        fix="The operator's: memory and open files of the router.",
    ),
}


def code_of(*, given: str, status: int, termination: str, server: str) -> Code | None:
    """The code of a logged request: the one the router gave it, or the one its end amounts to; None for the app's own answer.

    `termination` is HAProxy's two letters (configuration manual, 8.5): who ended the session, and in which phase.
    """
    if given in EXPLAINED and termination != "PH":  # the page for both says H13; only the log can tell
        return Code(given)
    if termination[:1] == "C" or (termination[:1] == "c" and termination != "cR"):
        return Code.CLIENT_LEFT
    known = _ENDS.get(termination)
    if known is Code.UNREACHABLE and server in ("", "<NOSRV>"):
        return Code.NO_INSTANCE
    if known is Code.BAD_REQUEST and status == 500:
        return Code.ROUTER_FAULT
    return known


_ENDS = {
    "SC": Code.UNREACHABLE,
    "sC": Code.UNREACHABLE,
    "PC": Code.UNREACHABLE,
    "sQ": Code.QUEUED_TOO_LONG,
    "sH": Code.TOO_SLOW,
    "SH": Code.NO_ANSWER,
    "PH": Code.BAD_ANSWER,
    "SD": Code.BROKE_OFF,
    "sD": Code.BROKE_OFF,
    "PR": Code.BAD_REQUEST,
    "cR": Code.REQUEST_TOO_SLOW,
    "RC": Code.ROUTER_FAULT,
    "IC": Code.ROUTER_FAULT,
    "IH": Code.ROUTER_FAULT,
}


def manual() -> str:
    """docs/codes.md."""
    parts = [
        f"## {code} {what.name}\n\n{what.title} {what.seen}\n\n"
        f"- **Means:** {what.meaning}\n- **Look at:** {what.look_at}\n- **Fix:** {what.fix}\n"
        for code, what in explained()
    ]
    return "\n".join([_MANUAL_HEAD, *parts])


def explained() -> list[tuple[str, Explanation]]:
    """Return all codes with their explanations, in the order of the manual."""
    return [*((code.value, what) for code, what in EXPLAINED.items()), *NOTED.items()]


_MANUAL_HEAD = """\
# Codes

What the router answers in an app's place carries a code: on the page, as `code` in the JSON (asked for by `Accept: application/json`),
in the header `X-Slipway-Code`, and in the access log. The request's id stands beside it. H10 to H39 are about the app, H40 to H59 about
the request, H80 and up about the platform, R14 and R15 about an instance. The portal has a page for each, `/codes/H12`, which error pages link
to and which is read without signing in.

This page is written by `python -m runtime.router > docs/codes.md` from `runtime/contract/error_codes.py`; a test compares them.
"""
