"""Addresses of jobs."""

from __future__ import annotations

from django.urls import path

from portal.jobs import views

urlpatterns = [
    path("apps/<slug:name>/jobs/<slug:job>/run", views.run_job, name="run-job"),
]
