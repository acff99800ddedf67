"""Forms that may be sent once: a reload of the response to a token's form creates no second
token."""

from __future__ import annotations

import secrets

from portal.accounts.signed_in import SignedInRequest

_USED_FORMS = "used-token-forms"  # in the session
_KEPT = 20


def new_number() -> str:
    """Return the number of a new form."""
    return secrets.token_urlsafe(9)


def was_sent(request: SignedInRequest) -> bool:
    """Return True if this form was already sent."""
    number = request.POST.get("form_number", "")
    return bool(number) and number in request.session.get(_USED_FORMS, ())


def mark_sent(request: SignedInRequest) -> None:
    """Remember the form of this request."""
    number = request.POST.get("form_number", "")
    request.session[_USED_FORMS] = [*request.session.get(_USED_FORMS, ()), number][-_KEPT:]
