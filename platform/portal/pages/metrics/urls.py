"""URLs of metrics."""

from __future__ import annotations

from django.urls import path

from portal.pages.metrics import views

urlpatterns = [
    path("apps/<slug:name>/metrics", views.metrics, name="app-metrics"),
    path("metrics", views.prometheus, name="metrics"),
]
