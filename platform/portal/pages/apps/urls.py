"""URLs of apps."""

from __future__ import annotations

from django.urls import path

from portal.pages.apps import home, last_failure, settings_views, views

urlpatterns = [
    path("", home.home, name="home"),
    path("new", views.new_app, name="new-app"),
    path("new/hint", views.name_hint, name="name-hint"),
    path("apps/<slug:name>", views.overview, name="app"),
    path("apps/<slug:name>/logs", views.logs, name="app-logs"),
    path("apps/<slug:name>/logs/file", views.log_file, name="app-log-file"),
    path("apps/<slug:name>/failure/dismiss", last_failure.dismiss, name="dismiss-failure"),
    path("apps/<slug:name>/restart", views.restart, name="restart"),
    path("apps/<slug:name>/settings", settings_views.settings, name="app-settings"),
    path("apps/<slug:name>/settings/config", settings_views.set_config, name="set-config"),
    path("apps/<slug:name>/settings/config/many", settings_views.set_many, name="set-many"),
    path(
        "apps/<slug:name>/settings/config/<str:variable>",
        settings_views.config_var,
        name="config-var",
    ),
    path("apps/<slug:name>/settings/formation", settings_views.scale, name="scale"),
    path(
        "apps/<slug:name>/settings/formation/preview",
        settings_views.scale_preview,
        name="scale-preview",
    ),
    path("apps/<slug:name>/settings/branch", settings_views.set_branch, name="set-branch"),
    path("apps/<slug:name>/settings/health", settings_views.set_health, name="set-health"),
    path("apps/<slug:name>/delete", settings_views.delete, name="delete-app"),
]
