"""All URLs of the portal: pages by Django app, then git, the registry and the API."""

from __future__ import annotations

from django.urls import include, path

from portal.api.router import api
from portal.server.middleware import page_not_found, server_error

urlpatterns = [
    path("", include("portal.pages.apps.urls")),
    path("", include("portal.pages.settings.urls")),
    path("", include("portal.pages.finder.urls")),
    path("", include("portal.pages.accounts.urls")),
    path("", include("portal.pages.builds.urls")),
    path("", include("portal.pages.releases.urls")),
    path("", include("portal.pages.domains.urls")),
    path("", include("portal.pages.traffic.urls")),
    path("", include("portal.pages.metrics.urls")),
    path("", include("portal.pages.requests.urls")),
    path("", include("portal.pages.jobs.urls")),
    path("", include("portal.pages.images.urls")),
    path("", include("portal.pages.volumes.urls")),
    path("", include("portal.pages.live.urls")),
    path("", include("portal.pages.quotas.urls")),
    path("", include("portal.api.reference")),
    path("", include("portal.pages.docs.urls")),
    path("", include("portal.pages.fixed_urls")),
    path("", include("portal.gitserver.urls")),
    path("v2/", include("portal.registry.urls")),
    path("api/", api.urls),
]
handler404 = page_not_found
handler500 = server_error
