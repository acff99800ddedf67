"""Views of an app's metrics page and of the Prometheus text."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from portal.accounts.access import person_of_token, team_for
from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.apps.access import app_for, apps_of
from portal.apps.models import App
from portal.deploys.app_status import status_of
from portal.errors import NotFound, NotSignedIn
from portal.metrics import exposition
from portal.metrics.series import Span
from portal.pages import breadcrumbs
from portal.pages.metrics.charts import charts_of


@signed_in
def metrics(request: SignedInRequest, name: str) -> HttpResponse:
    """Show charts of the last hour, day or week, and the same data as a table."""
    app = app_for(request.user, name)
    context = {
        **parts_context(app, span_of(request)),
        "spans": list(Span),
        "crumbs": breadcrumbs.of_app(app, "Metrics"),
        "tab": "metrics",
    }
    return render(request, "metrics/metrics.html", context)


def parts_context(app: App, span: Span) -> dict[str, object]:
    """Return the context of the changing parts of the page. The event stream renders them too."""
    return {"app": app, "status": status_of(app), "charts": charts_of(app, span)}


def span_of(request: HttpRequest) -> Span:
    """Return the range of `?span=24h`. Raise NotFound for an unknown range."""
    text = request.GET.get("span", Span.HOUR)
    if text not in list(Span):
        raise NotFound(
            f"There are no charts for the range {text}.", hint=f"Use one of {', '.join(Span)}."
        )
    return Span(text)


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
        counts = exposition.counts_of(apps.values_list("name", flat=True))
    else:
        counts = exposition.counts_of(
            None if person.is_staff else apps_of(person).values_list("name", flat=True)
        )
    return HttpResponse(exposition.text_of(counts), content_type=exposition.CONTENT_TYPE)
