"""URLs of requests, and of the error codes."""

from __future__ import annotations

from django.urls import path

from portal.pages.requests import views

urlpatterns = [
    path("requests", views.find_request, name="find-request"),
    path("requests/<str:request_id>", views.request_page, name="request"),
    path("codes", views.codes_page, name="codes"),
    path("codes/<str:code>", views.code_page, name="code"),
]
