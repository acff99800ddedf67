"""URLs of the admin pages."""

from __future__ import annotations

from django.urls import path

from portal.pages.quotas import views

urlpatterns = [
    path("admin", views.admin, name="admin"),
    path("admin/stacks", views.upgrade_stacks, name="upgrade-stacks"),
    path("admin/people", views.add_person, name="add-person"),
    path("admin/teams/<slug:name>", views.quota, name="admin-quota"),
    path("admin/teams/<slug:name>/network", views.network, name="admin-network"),
]
