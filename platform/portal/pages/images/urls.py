"""URLs of images. An image of an app is named by its release, such as v3, or by a tag."""

from __future__ import annotations

from django.urls import path

from portal.pages.images import views

urlpatterns = [
    path("images", views.images, name="images"),
    path("apps/<slug:name>/images/<str:image>", views.image, name="image"),
    path("apps/<slug:name>/images/<str:image>/save", views.save, name="save-image"),
    path("apps/<slug:name>/images/<str:image>/deploy", views.deploy, name="deploy-image"),
    path("apps/<slug:name>/images/<str:image>/tag", views.add_tag, name="add-tag"),
    path("apps/<slug:name>/tags/<str:tag>/remove", views.remove_tag, name="remove-tag"),
    path("apps/<slug:name>/compare", views.compare, name="compare"),
    path("apps/<slug:name>/compare/files", views.compare_files, name="compare-files"),
    path("apps/<slug:name>/instances/<slug:number>", views.instance, name="instance"),
    path(
        "apps/<slug:name>/instances/<slug:number>/written",
        views.look_at_instance,
        name="look-at-instance",
    ),
    path("apps/<slug:name>/instances/<slug:number>/commit", views.commit, name="commit-instance"),
    path("apps/<slug:name>/image-jobs/<int:number>/file", views.archive, name="image-archive"),
]
