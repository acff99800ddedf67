"""The page, and the URLs of its three changes."""

from django.urls import path

from todo import views

urlpatterns = [
    path("", views.tasks, name="tasks"),
    path("add", views.add, name="add"),
    path("<int:number>/toggle", views.toggle, name="toggle"),
    path("<int:number>/remove", views.remove, name="remove"),
]
