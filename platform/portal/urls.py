"""All URLs of the portal: pages by Django app, then git, the registry and the API."""

from __future__ import annotations

from django.urls import include, path

from portal.api.router import api
from portal.middleware import page_not_found, server_error

urlpatterns = [
    path("", include("portal.apps.urls")),
    path("", include("portal.accounts.urls")),
    path("", include("portal.builds.urls")),
    path("", include("portal.releases.urls")),
    path("", include("portal.domains.urls")),
    path("", include("portal.traffic.urls")),
    path("", include("portal.metrics.urls")),
    path("", include("portal.requests.urls")),
    path("", include("portal.jobs.urls")),
    path("", include("portal.images.urls")),
    path("", include("portal.activity.urls")),
    path("", include("portal.quotas.urls")),
    path("", include("portal.gitserver.urls")),
    path("v2/", include("portal.registry.urls")),
    path("api/", api.urls),
]
handler404 = page_not_found
handler500 = server_error
