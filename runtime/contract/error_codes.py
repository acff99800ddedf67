"""The codes of requests that end without the app's own answer, explained to visitors and owners.

Pure. The error pages, docs/codes.md (`manual`), the portal's pages about codes, the log lines and
the metrics use them. Numbers known from other platforms mean the same here.
"""

from __future__ import annotations

from enum import StrEnum

from runtime.contract.notices import NOTED, Explanation


class Code(StrEnum):
    """A code, as in the body, in the header X-Slipway-Code and in the log.

    H10 to H39: the app; H40 to H59: the request; H80 and up: the platform.
    """

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
        next_step=(
            "If it is yours, its log in the portal shows its last output. It restarts after a"
            " pause."
        ),
        meaning=(
            "All instances of the requested process type ended by themselves. The platform restarts"
            " them, with longer and longer pauses."
        ),
        look_at=(
            "The end of the app's log, and the exit code or signal next to the instance: 137 often"
            " means out of memory."
        ),
        fix=(
            "Fix the cause and deploy, or roll back to the previous release. If it ran out of"
            " memory, give it more."
        ),
    ),
    Code.QUEUED_TOO_LONG: Explanation(
        name="queued-too-long",
        status=503,
        title="This app has more requests than it can handle.",
        next_step=(
            "Try again in a moment. If it is yours, give it more instances or find what makes it"
            " slow."
        ),
        meaning=(
            "All instances had their maximum number of open requests, and none became free while"
            " this request waited."
        ),
        look_at=(
            "Requests in flight and the 95th percentile of the app's latency; its CPU use; slow"
            " queries."
        ),
        fix=(
            "Scale the process type out, make the slow requests faster, or move long work to a"
            " worker process."
        ),
        refresh=10,
    ),
    Code.TOO_SLOW: Explanation(
        name="too-slow",
        status=504,
        title="This app took too long to answer.",
        next_step="Try again in a moment. If this is your app, look at its log and at its CPU use.",
        meaning=(
            "The instance received the request and did not begin to answer within the app's request"
            " timeout. It may still work on it."
        ),
        look_at=(
            "The app's log under this request's id, its CPU use, and what it waits for: a database,"
            " another service, a lock."
        ),
        fix=(
            "Give outgoing calls a timeout, move long work to a worker process, or raise the app's"
            " request timeout."
        ),
    ),
    Code.NO_ANSWER: Explanation(
        name="no-answer",
        status=502,
        title="This app closed the connection before it answered.",
        next_step="Try again. If this is your app, its log around this moment says why.",
        meaning=(
            "The instance received the request, then closed the connection without a complete and"
            " valid answer."
        ),
        look_at=(
            "The app's log at this moment: an instance that ended, or a worker killed for its time"
            " or memory. The access log shows the difference from an answer that was not valid HTTP"
            " (H17). On a connection that served a request before, there is no page. The connection"
            " closes, and the client may then try again."
        ),
        fix=(
            "Fix what ends the worker. A GET was tried again on other instances; other requests are"
            " never sent twice."
        ),
    ),
    Code.NO_INSTANCE: Explanation(
        name="no-instance",
        status=503,
        title="This app has no running instance.",
        next_step=(
            "It may be starting: this page tries again by itself. If it is yours, check that the"
            " process type of this path, such as web, is scaled to one or more."
        ),
        meaning=(
            "No instance can take the request: the process type is scaled to zero, or its instances"
            " are not healthy yet."
        ),
        look_at="The formation in the portal, and the health check's last result.",
        fix=(
            "Scale the process type to one or more. If instances never become healthy, the timeline"
            " shows the check's result."
        ),
        refresh=5,
    ),
    Code.BAD_ANSWER: Explanation(
        name="bad-answer",
        status=0,
        title="The app's answer was not valid HTTP.",
        next_step="",
        meaning=(
            "The instance sent an invalid HTTP answer, or headers of more than about 15,000 bytes."
            " The visitor saw H13."
        ),
        look_at=(
            "The app's port, and the protocol on it: plain HTTP/1.1, or HTTP/2 if that is"
            " switched on."
        ),
        fix=(
            "Serve HTTP on $PORT, not TLS or another protocol; keep cookies and other headers"
            " small."
        ),
    ),
    Code.BROKE_OFF: Explanation(
        name="broke-off",
        status=0,
        title="The app closed the connection in the middle of its answer.",
        next_step="",
        meaning=(
            "The answer had begun, so no page can be shown. The visitor got a part of it, and then"
            " the connection closed."
        ),
        look_at="The app's log at this moment; a restart or an end of the instance.",
        fix="Fix what ends the instance. If a deploy cuts long downloads, raise the drain time.",
    ),
    Code.WAKE_FAILED: Explanation(
        name="wake-failed",
        status=503,
        title="This app was asleep and could not be woken.",
        next_step="Try again in a moment. If it is yours, its log says why it did not start.",
        meaning=(
            "The app was asleep. The request was held while an instance started, but no instance"
            " became healthy."
        ),
        look_at="The app's log at this moment, and the reason in its timeline.",
        fix=(
            "If the app starts slowly, raise its hold time. If it cannot start, fix the cause and"
            " deploy."
        ),
        refresh=10,
    ),
    Code.UNREACHABLE: Explanation(
        name="unreachable",
        status=503,
        title="This app is not answering right now.",
        next_step="Try again in a moment. If this is your app, its log says what happened.",
        meaning=(
            "No instance accepted a connection, although they were healthy a moment ago. Nothing of"
            " the request reached the app."
        ),
        look_at=(
            "The app's port: a full accept queue, a stuck process, or an instance that has just"
            " ended."
        ),
        fix=(
            "Usually this ends within seconds, when the health check notices it. If it lasts, the"
            " app is stuck: see its CPU use and log."
        ),
        refresh=5,
    ),
    Code.CLIENT_LEFT: Explanation(
        name="client-left",
        status=0,
        title="The client disconnected before the answer was complete.",
        next_step="",
        meaning="A visitor closed the page, or a client gave up. No page can be shown.",
        look_at=(
            "Latency: visitors leave when they wait. Many such requests at once can mean that the"
            " app is slow."
        ),
        fix="Nothing, if there are few.",
    ),
    Code.BAD_REQUEST: Explanation(
        name="bad-request",
        status=400,
        title="This request is not valid HTTP.",
        next_step="If a browser sent it, delete this site's cookies and try again.",
        meaning=(
            "The request broke the rules of HTTP, was ambiguous, or had headers of more than about"
            " 15,000 bytes. If no part of it can be trusted, the answer has no page and no code"
            " header."
        ),
        look_at=(
            "The client: too many cookies, a self-written client, or an attempt at request"
            " smuggling."
        ),
        fix="Fix the client; set fewer and smaller cookies.",
    ),
    Code.SIGN_IN: Explanation(
        name="sign-in",
        status=401,
        title="This app asks for a name and a password.",
        next_step="Ask the app's owner for them.",
        meaning=(
            "Basic auth is switched on for the app, and the request had no name and password, or"
            " wrong ones."
        ),
        look_at="The app's settings, under access.",
        fix="Send the correct name and password, or switch basic auth off.",
    ),
    Code.NOT_ALLOWED: Explanation(
        name="not-allowed",
        status=403,
        title="This app does not allow access from your network.",
        next_step="If you should have access, send your address to its owner.",
        meaning="The app has a list of allowed addresses, and the client's is not on it.",
        look_at="The client's address in the access log; the list in the app's settings.",
        fix="Add the address or its network to the list.",
    ),
    Code.UNKNOWN_HOST: Explanation(
        name="unknown-host",
        status=404,
        title="There is no app at this address.",
        next_step="Check the address. A newly created app answers here as soon as it is deployed.",
        meaning="The host name points to this machine, but no app has it.",
        look_at=(
            "The list of the app's domains; a spelling mistake in the DNS record or the address."
        ),
        fix="Add the domain to the app, or correct the DNS record.",
    ),
    Code.NOT_DEPLOYED: Explanation(
        name="not-deployed",
        status=503,
        title="This app has not been deployed yet.",
        next_step="If it is yours, push its code or upload an archive in the portal.",
        meaning="The app exists, but has no release.",
        look_at="The list of its builds: the first build may have failed.",
        fix="Deploy it.",
    ),
    Code.BODY_TOO_LARGE: Explanation(
        name="body-too-large",
        status=413,
        title="This upload is too large.",
        next_step="Send less at a time, or ask the app's owner for a larger limit.",
        meaning="The body is longer than the app's limit. Nothing of it reached the app.",
        look_at="The limit in the app's settings, and the Content-Length in the request.",
        fix="Raise the limit, or send large files directly to an object store.",
    ),
    Code.LENGTH_REQUIRED: Explanation(
        name="length-required",
        status=411,
        title="This upload does not say how long it is.",
        next_step="Send it with a Content-Length.",
        meaning=(
            "The app limits the size of bodies, and the request streams a body without its length."
            " So the limit could not be checked."
        ),
        look_at="The client: chunked transfer, or HTTP/2 without a content-length.",
        fix="Let the client send the length, or remove the limit.",
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
        next_step="Wait a few seconds, then continue more slowly.",
        meaning=(
            "The client, or all clients together, sent more requests in ten seconds than the app's"
            " settings allow."
        ),
        look_at="Requests per second in the metrics, and their clients in the access log.",
        fix="Slow the client down, or raise the limit.",
        refresh=10,
    ),
    Code.TOO_MANY_OPEN: Explanation(
        name="too-many-open",
        status=429,
        title="Too many requests at the same time.",
        next_step="Wait for others to finish, then try again.",
        meaning=(
            "The client, or all clients together, have more requests and WebSockets open than the"
            " app's settings allow."
        ),
        look_at=(
            "Requests in flight in the metrics; slow requests; WebSockets that are never closed."
        ),
        fix="Close unused connections, or raise the limit.",
        refresh=10,
    ),
    Code.REQUEST_TOO_SLOW: Explanation(
        name="request-too-slow",
        status=408,
        title="This request took too long to arrive.",
        next_step="Check the connection and try again.",
        meaning=(
            "The client did not send all headers within ten seconds. Often no visitor waits:"
            " browsers open connections in advance."
        ),
        look_at=(
            "The client's connection. Many of them at once from few addresses are an attack, which"
            " does not affect the app."
        ),
        fix="Nothing on the app's side. The answer has no page and no code header.",
    ),
    Code.MAINTENANCE: Explanation(
        name="maintenance",
        status=503,
        title="This app is under maintenance.",
        next_step="Come back in a little while.",
        meaning=(
            "The owner has switched maintenance on. No request reaches the app; its processes keep"
            " running."
        ),
        look_at="The activity list: who switched it on, and when.",
        fix="Switch maintenance off.",
        refresh=60,
    ),
    Code.HELD_TOO_LONG: Explanation(
        name="held-too-long",
        status=503,
        title="This app is being replaced and is not back yet.",
        next_step="This page tries again by itself.",
        meaning=(
            "The request was held because its process type had no instance. None started within the"
            " app's hold time."
        ),
        look_at="The timeline of the current rollout.",
        fix=(
            "Raise the hold time, or make the app start faster. An app without a single-writer"
            " volume needs no pause: use a rolling release."
        ),
        refresh=5,
    ),
    Code.PORTAL_STARTING: Explanation(
        name="portal-starting",
        status=503,
        title="The portal is starting.",
        next_step="This page tries again by itself. Running apps are not affected.",
        meaning="The portal's process has not started yet, or is being replaced.",
        look_at="`make status`, then the portal's log.",
        fix="Wait. If it lasts, the log shows the reason.",
        refresh=3,
    ),
    Code.ROUTER_FAULT: Explanation(
        name="router-fault",
        status=500,
        title="The router could not handle this request.",
        next_step="Try again. If it happens again, send the request's id to the operator.",
        meaning="The router itself failed, for example because it had no memory for a buffer.",
        look_at="The router's log at this moment.",
        fix="The operator must check the router's memory and open files.",
    ),
}


def code_of(*, given: str, status: int, termination: str, server: str) -> Code | None:
    """Return the code of a logged request, or None for the app's own answer.

    It is the code that the router set, or the one that follows from the request's end.
    `termination` is HAProxy's two letters (configuration manual, 8.5): the side that ended the
    session, and the phase.
    """
    if given in EXPLAINED and termination != "PH":
        # The page says H13 for both; only the log differs.
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
    """Return the text of docs/codes.md."""
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

If the router answers instead of an app, its answer has a code: on the page, in the header
`X-Slipway-Code`, and in the access log. A client that sends `Accept: application/json` gets it as
`code` in the JSON. The request's id is next to it. H10 to H39 are about the app, H40 to H59 about
the request, H80 and up about the platform, R14 and R15 about an instance. The portal has a page for
each, such as `/codes/H12`. Error pages link to it, and it needs no login.

`python -m runtime.router > docs/codes.md` writes this page from `runtime/contract/error_codes.py`;
a test compares them.
"""
