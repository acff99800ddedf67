"""URLs of the admin pages."""

from __future__ import annotations

from django.urls import path

from portal.pages.quotas import activity, views

urlpatterns = [
    path("admin", views.admin, name="admin"),
    path("admin/node", views.node, name="admin-node"),
    path("admin/clean-up", views.clean_up, name="clean-up"),
    path("admin/activity", activity.activity, name="admin-activity"),
    path("admin/activity.csv", activity.activity_csv, name="admin-activity-csv"),
    path("admin/stacks", views.upgrade_stacks, name="upgrade-stacks"),
    path("admin/people", views.add_person, name="add-person"),
    path("admin/teams/<slug:name>", views.quota, name="admin-quota"),
    path("admin/teams/<slug:name>/preview", views.quota_preview, name="admin-quota-preview"),
    path("admin/teams/<slug:name>/network", views.network, name="admin-network"),
]
