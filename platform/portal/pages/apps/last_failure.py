"""The card of a failed deploy above a live app. A person can dismiss it, until the next failure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.apps.access import app_for
from portal.deploys.app_status import AppStatus

_DISMISSED = "dismissed-failures"  # in the session: the key of a failure by the app's name
_KEPT = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class LastFailure:
    """The reason of the last failed deploy, and its build. `key` identifies the failure."""

    text: str
    build: int | None

    @property
    def key(self) -> str:
        return hashlib.sha256(f"{self.build} {self.text}".encode()).hexdigest()[:16]


def dismissed_of(session: SessionBase, name: str) -> str:
    """Return the key of the app's failure that the person has dismissed."""
    return str(session.get(_DISMISSED, {}).get(name, ""))


def last_failure_of(status: AppStatus, dismissed: str) -> LastFailure | None:
    """Return the failure, or None if there is none or it was dismissed."""
    if not status.failure:
        return None
    failure = LastFailure(text=status.failure, build=status.failed_build)
    return None if failure.key == dismissed else failure


@signed_in
@require_POST
def dismiss(request: SignedInRequest, name: str) -> HttpResponse:
    """Hide the card of a failure in this session."""
    app = app_for(request.user, name)
    others = [pair for pair in request.session.get(_DISMISSED, {}).items() if pair[0] != name]
    key = request.POST.get("failure", "")[:16]
    request.session[_DISMISSED] = dict([*others, (app.name, key)][-_KEPT:])
    return redirect("app", app.name)
