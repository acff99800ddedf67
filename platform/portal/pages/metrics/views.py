"""Views of an app's metrics page and of the Prometheus text."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from portal.accounts.access import person_of_token, team_for
from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.apps.access import app_for, apps_of
from portal.apps.models import HANDLE, App
from portal.deploys.app_status import status_of
from portal.errors import NotSignedIn
from portal.metrics import exposition
from portal.metrics.time_range import Span
from portal.pages import breadcrumbs
from portal.pages.metrics.charts import charts_of
from portal.pages.metrics.wanted import Wanted, wanted_of


@signed_in
def metrics(request: SignedInRequest, name: str) -> HttpResponse:
    """Show charts of a time range, and the same data as a table."""
    app = app_for(request.user, name)
    wanted = wanted_of(request.GET.dict())
    context = {
        **parts_context(app, wanted),
        "spans": list(Span),
        "crumbs": breadcrumbs.of_app(app, "Metrics"),
        "tab": "metrics",
    }
    status = 422 if wanted.form.errors else 200
    return render(request, "metrics/metrics.html", context, status=status)


def parts_context(app: App, wanted: Wanted) -> dict[str, object]:
    """Return the context of the changing parts of the page. The event stream renders them too."""
    return {
        "app": app,
        "status": status_of(app),
        "wanted": wanted,
        "charts": charts_of(app, wanted),
    }


@require_GET
def prometheus(request: HttpRequest) -> HttpResponse:
    """Return the Prometheus text for a Bearer token: all apps for an admin, else the apps of the
    person's teams.

    Admins also get the requests that reached no app. `?team=` selects one team.
    """
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    person = person_of_token(token) if kind.lower() == "bearer" else None
    if person is None:
        raise NotSignedIn(
            "Metrics need a token.",
            hint="Create one in the portal, and send it as Authorization: Bearer TOKEN.",
        )
    if wanted := request.GET.get("team"):
        apps = App.objects.filter(deleted_at=None, team=team_for(person, wanted))
        counts = exposition.counts_of(apps.values_list(HANDLE, flat=True))
    else:
        counts = exposition.counts_of(
            None if person.is_staff else apps_of(person).values_list(HANDLE, flat=True)
        )
    return HttpResponse(exposition.text_of(counts), content_type=exposition.CONTENT_TYPE)
