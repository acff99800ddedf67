"""Show the list; add, complete and remove tasks."""

from django.conf import settings
from django.db.models import Case, Value, When
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from todo.models import Task


@require_GET
def tasks(request: HttpRequest) -> HttpResponse:
    found = list(Task.objects.all())
    left = sum(not task.done for task in found)
    return render(
        request, "tasks.html", {"tasks": found, "left": left, "fleeting": not settings.DATABASE_URL}
    )


@require_POST
def add(request: HttpRequest) -> HttpResponse:
    if text := request.POST.get("text", "").strip()[:200]:
        Task.objects.create(text=text)
    return redirect("tasks")


@require_POST
def toggle(_: HttpRequest, number: int) -> HttpResponse:
    Task.objects.filter(pk=number).update(
        done=Case(When(done=True, then=Value(False)), default=Value(True))
    )
    return redirect("tasks")


@require_POST
def remove(_: HttpRequest, number: int) -> HttpResponse:
    Task.objects.filter(pk=number).delete()
    return redirect("tasks")
