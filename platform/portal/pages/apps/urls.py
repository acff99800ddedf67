"""URLs of apps."""

from __future__ import annotations

from django.urls import path

from portal.pages.apps import home, last_failure, log_page, new_views, views

urlpatterns = [
    path("", home.home, name="home"),
    path("new", new_views.new_app, name="new-app"),
    path("new/hint", new_views.name_hint, name="name-hint"),
    path("new/token", new_views.new_token, name="new-app-token"),
    path("new/example", new_views.new_example, name="new-example"),
    path("apps/<slug:name>", views.overview, name="app"),
    path("apps/<slug:name>/logs", log_page.logs, name="app-logs"),
    path("apps/<slug:name>/logs/file", log_page.log_file, name="app-log-file"),
    path("apps/<slug:name>/failure/dismiss", last_failure.dismiss, name="dismiss-failure"),
    path("apps/<slug:name>/restart", views.restart, name="restart"),
]
