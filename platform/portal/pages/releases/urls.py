"""URLs of deploys."""

from __future__ import annotations

from django.urls import path

from portal.pages.releases import views

urlpatterns = [
    path("apps/<slug:name>/deploys", views.deploys, name="deploys"),
    path("apps/<slug:name>/stack", views.upgrade_stack, name="upgrade-stack"),
    path("apps/<slug:name>/rollback", views.rollback, name="rollback"),
    path(
        "apps/<slug:name>/releases/<int:number>/rollback",
        views.rollback_preview,
        name="rollback-preview",
    ),
    path(
        "apps/<slug:name>/releases/<int:before>/compare/<int:after>",
        views.compare,
        name="compare-releases",
    ),
    path("apps/<slug:name>/releases/compare", views.choose, name="choose-releases"),
    path("apps/<slug:name>/releases/<int:number>/again", views.try_again, name="try-again"),
]
