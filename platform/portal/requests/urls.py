"""Addresses of requests."""

from __future__ import annotations

from django.urls import path

from portal.requests import views

urlpatterns = [
    path("requests", views.find_request, name="find-request"),
    path("requests/<str:request_id>", views.request_page, name="request"),
]
