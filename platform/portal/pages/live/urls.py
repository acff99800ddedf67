"""URLs of the event streams."""

from __future__ import annotations

from django.urls import path

from portal.pages.live import views

urlpatterns = [
    path("apps/<slug:name>/events", views.app_events, name="app-events"),
    path("apps/<slug:name>/deploys/events", views.deploys_events, name="deploys-events"),
    path("apps/<slug:name>/builds/<int:number>/events", views.build_events, name="build-events"),
    path(
        "apps/<slug:name>/image-jobs/<int:number>/events",
        views.image_job_events,
        name="image-job-events",
    ),
    path("apps/<slug:name>/metrics/events", views.metrics_events, name="metrics-events"),
    path("apps/<slug:name>/logs/events", views.log_events, name="log-events"),
]
