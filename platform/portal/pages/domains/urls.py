"""URLs of an app's domains."""

from __future__ import annotations

from django.urls import path

from portal.pages.domains import views

urlpatterns = [
    path("apps/<slug:name>/domains/add", views.add, name="add-domain"),
    path("apps/<slug:name>/domains/addresses", views.addresses, name="change-addresses"),
    path("apps/<slug:name>/domains/<str:host>/verify", views.verify, name="verify-domain"),
    path("apps/<slug:name>/domains/<str:host>/remove", views.remove, name="remove-domain"),
    path(
        "apps/<slug:name>/domains/<str:host>/certificate", views.upload, name="upload-certificate"
    ),
    path("apps/<slug:name>/domains/<str:host>/order", views.order, name="order-certificate"),
]
