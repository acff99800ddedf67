"""The explanations of the codes about the app: H10 to H39. Pure."""

from __future__ import annotations

from runtime.contract.error_codes import Code
from runtime.contract.notices import Explanation

APP_CODES: dict[Code, Explanation] = {
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
}
