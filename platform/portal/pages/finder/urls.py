"""URLs of the finder."""

from __future__ import annotations

from django.urls import path

from portal.pages.finder import views

urlpatterns = [
    path("find", views.find_page, name="find"),
    path("find/apps", views.find_apps, name="find-apps"),
]
