"""URLs of the registry, below /v2/ (github.com/opencontainers/distribution-spec, v1.1)."""

from __future__ import annotations

from django.urls import path

from portal.registry import blob_views, views

urlpatterns = [
    path("", views.root, name="registry"),
    path("_catalog", views.catalog),
    path("<str:team>/<str:app>/blobs/uploads/", blob_views.begin),
    path("<str:team>/<str:app>/blobs/uploads", blob_views.begin),
    path("<str:team>/<str:app>/blobs/uploads/<str:id>", blob_views.upload),
    path("<str:team>/<str:app>/blobs/<str:digest>", blob_views.blob),
    path("<str:team>/<str:app>/manifests/<str:reference>", views.manifest),
    path("<str:team>/<str:app>/tags/list", views.tags),
    path("<str:team>/<str:app>/referrers/<str:digest>", views.referrers),
    path("<path:rest>", views.nowhere),
]
