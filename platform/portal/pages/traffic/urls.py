"""URLs of an app's traffic settings."""

from __future__ import annotations

from django.urls import path

from portal.pages.traffic import views

urlpatterns = [
    path("apps/<slug:name>/traffic", views.traffic, name="app-traffic"),
    path("apps/<slug:name>/traffic/auth", views.auth, name="traffic-auth"),
    path("apps/<slug:name>/traffic/<slug:card>", views.change, name="change-traffic"),
]
