"""URLs of jobs."""

from __future__ import annotations

from django.urls import path

from portal.pages.jobs import views

urlpatterns = [
    path("apps/<slug:name>/jobs/<slug:job>/run", views.run_job, name="run-job"),
    path("apps/<slug:name>/runs", views.run_command, name="run-command"),
    path("apps/<slug:name>/runs/<int:number>/stop", views.stop_run, name="stop-run"),
    path("apps/<slug:name>/runs/<int:number>/again", views.run_again, name="run-again"),
]
