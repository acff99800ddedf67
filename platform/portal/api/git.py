"""API operations for an app's git settings."""

from __future__ import annotations

from django.http import HttpRequest
from ninja import Router

from portal.api.authentication import person_of
from portal.api.schemas import GitIn, GitOut
from portal.apps.access import app_for
from portal.apps.models import App
from portal.lifecycle import app_actions

router = Router(tags=["git"])


@router.get("/apps/{name}/git", response=GitOut, summary="The branch whose pushes deploy")
def show_git(request: HttpRequest, name: str) -> GitOut:
    return _git_out(app_for(person_of(request), name))


@router.patch("/apps/{name}/git", response=GitOut, summary="Set the branch whose pushes deploy")
def change_git(request: HttpRequest, name: str, body: GitIn) -> GitOut:
    person = person_of(request)
    app = app_for(person, name)
    return _git_out(app_actions.set_deploy_branch(person, app=app, branch=body.branch or ""))


def _git_out(app: App) -> GitOut:
    return GitOut(branch=app.deploy_branch or None)
