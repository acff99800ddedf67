"""URLs of the documentation. `portal.api.reference` has the page of the API."""

from __future__ import annotations

from django.urls import path

from portal.pages.docs import views

urlpatterns = [
    path("docs", views.index, name="docs"),
    path("docs/<slug:name>", views.page, name="docs-page"),
    path("docs/pictures/<str:name>", views.picture, name="docs-picture"),
]
