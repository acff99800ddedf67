"""URLs of volumes. A volume is named by its number, because it may have no app."""

from __future__ import annotations

from django.urls import path

from portal.pages.volumes import views

_ONE = "volumes/<int:number>"

urlpatterns = [
    path("apps/<slug:name>/volumes/add", views.add, name="add-volume"),
    path(_ONE, views.volume, name="volume"),
    path(f"{_ONE}/settings", views.change, name="change-volume"),
    path(f"{_ONE}/detach", views.detach, name="detach-volume"),
    path(f"{_ONE}/attach", views.attach, name="attach-volume"),
    path(f"{_ONE}/delete", views.delete, name="delete-volume"),
    path(f"{_ONE}/data/delete", views.delete_at_once, name="delete-volume-data"),
    path(f"{_ONE}/snapshots", views.take_snapshot, name="take-snapshot"),
    path(f"{_ONE}/snapshots/<int:snapshot>/delete", views.delete_snapshot, name="delete-snapshot"),
    path(f"{_ONE}/snapshots/<int:snapshot>/restore", views.restore, name="restore-snapshot"),
    path(f"{_ONE}/clone", views.clone, name="clone-volume"),
    path(f"{_ONE}/download", views.download, name="download-volume"),
    path(f"{_ONE}/archive", views.archive, name="volume-archive"),
    path(f"{_ONE}/upload", views.upload, name="upload-volume"),
    path(f"{_ONE}/files", views.browse, name="browse-volume"),
]
