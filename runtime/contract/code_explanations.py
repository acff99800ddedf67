"""Explain all codes to visitors and owners, on error pages and in docs/codes.md. Pure."""

from __future__ import annotations

from runtime.contract.app_codes import APP_CODES
from runtime.contract.error_codes import Code
from runtime.contract.notices import NOTED, Explanation

EXPLAINED: dict[Code, Explanation] = {
    **APP_CODES,
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


def explained() -> list[tuple[str, Explanation]]:
    """Return all codes with their explanations, in the order of the manual."""
    return [*((code.value, what) for code, what in EXPLAINED.items()), *NOTED.items()]
