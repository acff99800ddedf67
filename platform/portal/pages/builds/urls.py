"""URLs of builds."""

from __future__ import annotations

from django.urls import path

from portal.pages.builds import views

urlpatterns = [
    path("apps/<slug:name>/deploy", views.deploy, name="deploy"),
    path("apps/<slug:name>/deploy/image", views.deploy_image, name="deploy-named-image"),
    path("apps/<slug:name>/deploy/git", views.deploy_repository, name="deploy-repository"),
    path("apps/<slug:name>/repository/remove", views.remove_repository, name="remove-repository"),
    path("apps/<slug:name>/builds/<int:number>", views.build, name="build"),
    path("apps/<slug:name>/builds/<int:number>/log", views.log_file, name="build-log-file"),
    path("apps/<slug:name>/builds/<int:number>/cancel", views.cancel, name="cancel-build"),
]
