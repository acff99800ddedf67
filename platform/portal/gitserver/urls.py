"""URLs of apps' git repositories: /git/APP.git."""

from __future__ import annotations

from django.urls import path, re_path

from portal.gitserver import views

urlpatterns = [
    path("git/<slug:name>.git/info/refs", views.info_refs),
    re_path(
        r"^git/(?P<name>[a-z0-9-]+)\.git/(?P<service>git-receive-pack|git-upload-pack)$",
        views.exchange,
    ),
]
