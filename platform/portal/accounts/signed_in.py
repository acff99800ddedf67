"""The decorator for views that need a signed-in person. Others are redirected to the sign-in
page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Concatenate, ParamSpec, cast

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponseBase

from portal.accounts.models import Person

P = ParamSpec("P")


class SignedInRequest(HttpRequest):
    """A request of a signed-in person."""

    user: Person


def signed_in(
    view: Callable[Concatenate[SignedInRequest, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Allow only signed-in people to use the view."""
    return login_required(cast("Callable[Concatenate[HttpRequest, P], HttpResponseBase]", view))
