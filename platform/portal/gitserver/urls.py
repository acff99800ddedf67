"""URLs of apps' git repositories: /git/APP.git and /git/TEAM/APP.git."""

from __future__ import annotations

from django.urls import path, re_path

from portal.gitserver import views

urlpatterns = [
    path("git/<str:name>.git/info/refs", views.info_refs),
    path("git/<slug:team>/<str:name>.git/info/refs", views.info_refs),
    re_path(
        r"^git/(?:(?P<team>[a-z0-9-]+)/)?(?P<name>[^/]+)\.git"
        r"/(?P<service>git-receive-pack|git-upload-pack)$",
        views.exchange,
    ),
]
