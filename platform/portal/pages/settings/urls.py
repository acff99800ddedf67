"""URLs of an app's settings. `portal.pages.traffic` and `portal.pages.domains` have the URLs of
their forms."""

from __future__ import annotations

from django.urls import path

from portal.pages.settings import identity, variables, views

_SETTINGS = "apps/<slug:name>/settings"

urlpatterns = [
    path(_SETTINGS, views.settings, name="app-settings"),
    path(f"{_SETTINGS}/config", variables.set_config, name="set-config"),
    path(f"{_SETTINGS}/config/many", variables.set_many, name="set-many"),
    path(f"{_SETTINGS}/config/import", variables.preview_import, name="preview-import"),
    path(f"{_SETTINGS}/config/export", variables.export, name="export-config"),
    path(f"{_SETTINGS}/config/<str:variable>", variables.config_var, name="config-var"),
    path(f"{_SETTINGS}/formation", views.scale, name="scale"),
    path(f"{_SETTINGS}/formation/preview", views.scale_preview, name="scale-preview"),
    path(f"{_SETTINGS}/branch", views.set_branch, name="set-branch"),
    path(f"{_SETTINGS}/description", identity.describe, name="describe-app"),
    path(f"{_SETTINGS}/name", identity.rename, name="rename-app"),
    path(f"{_SETTINGS}/team", identity.transfer, name="transfer-app"),
    path(f"{_SETTINGS}/health", views.health, name="set-health"),
    path(f"{_SETTINGS}/<slug:section>", views.settings, name="settings-section"),
    path("apps/<slug:name>/delete", views.delete, name="delete-app"),
]
