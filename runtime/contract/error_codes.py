"""The codes of requests that end without the app's own answer.

Pure. `code_explanations` explains them to visitors and owners. The error pages, docs/codes.md, the
portal's pages about codes, the log lines and the metrics use them. Numbers known from other
platforms mean the same here.
"""

from __future__ import annotations

from enum import StrEnum


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


def code_of(*, given: str, status: int, termination: str, server: str) -> Code | None:
    """Return the code of a logged request, or None for the app's own answer.

    It is the code that the router set, or the one that follows from the request's end.
    `termination` is HAProxy's two letters (configuration manual, 8.5): the side that ended the
    session, and the phase.
    """
    if given in _CODES and termination != "PH":
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


_CODES = frozenset(Code)
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
