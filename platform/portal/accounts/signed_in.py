"""What a view knows of who asks: a signed-in person. Everyone else is sent to the sign-in page first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Concatenate, ParamSpec, cast

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponseBase

from portal.accounts.models import Person

P = ParamSpec("P")


class SignedInRequest(HttpRequest):
    """A request behind `signed_in`."""

    user: Person


def signed_in(view: Callable[Concatenate[SignedInRequest, P], HttpResponseBase]) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Let only signed-in people reach the view."""
    return login_required(cast("Callable[Concatenate[HttpRequest, P], HttpResponseBase]", view))
