"""API operations for cron jobs, runs, and the manifest."""

from __future__ import annotations

from django.http import HttpRequest
from ninja import Router, Status

from portal.api.authentication import person_of
from portal.api.schemas import AppFileOut, CronOut, RunIn, RunOut
from portal.api.shapes import app_file_out, run_out
from portal.apps.access import app_for, config_of
from portal.apps.declared import Declared
from portal.jobs.access import cron_for, crons_of, run_for, runs_of
from portal.jobs.actions import run_again, run_command, run_now, stop
from portal.jobs.models import CronJob

router = Router(tags=["jobs"])
_SHOWN = 100


@router.get(
    "/apps/{name}/file",
    response=AppFileOut,
    summary="The manifest (slipway.toml or app.json) of the live release",
)
def show_file(request: HttpRequest, name: str) -> AppFileOut:
    app = app_for(person_of(request), name)
    return app_file_out(
        app, app.current_release.declared if app.current_release else Declared(), config_of(app)
    )


@router.get("/apps/{name}/crons", response=list[CronOut], summary="The cron jobs")
def list_crons(request: HttpRequest, name: str) -> list[CronJob]:
    return list(crons_of(app_for(person_of(request), name)))


@router.post("/apps/{name}/crons/{job}/run", response={202: RunOut}, summary="Run a job now")
def run_cron(request: HttpRequest, name: str, job: str) -> Status[RunOut]:
    person = person_of(request)
    app = app_for(person, name)
    return Status(202, run_out(run_now(person, app=app, job=cron_for(app, job))))


@router.get("/apps/{name}/runs", response=list[RunOut], summary="The latest runs, newest first")
def list_runs(request: HttpRequest, name: str) -> list[RunOut]:
    return [run_out(run) for run in runs_of(app_for(person_of(request), name))[:_SHOWN]]


@router.post(
    "/apps/{name}/runs",
    response={202: RunOut},
    summary="Run a command once, in its own instance of the live release",
)
def create_run(request: HttpRequest, name: str, body: RunIn) -> Status[RunOut]:
    person = person_of(request)
    app = app_for(person, name)
    run = run_command(person, app=app, command=body.command, timeout=body.timeout)
    return Status(202, run_out(run))


@router.get("/apps/{name}/runs/{number}", response=RunOut, summary="One run")
def show_run(request: HttpRequest, name: str, number: int) -> RunOut:
    return run_out(run_for(app_for(person_of(request), name), number))


@router.post(
    "/apps/{name}/runs/{number}/stop",
    response={202: RunOut},
    summary="Stop a queued or running run",
)
def stop_run(request: HttpRequest, name: str, number: int) -> Status[RunOut]:
    person = person_of(request)
    app = app_for(person, name)
    stop(person, app=app, run=run_for(app, number))
    return Status(202, run_out(run_for(app, number)))


@router.post(
    "/apps/{name}/runs/{number}/again",
    response={202: RunOut},
    summary="Retry a failed post-deploy script",
)
def run_postdeploy_again(request: HttpRequest, name: str, number: int) -> Status[RunOut]:
    person = person_of(request)
    app = app_for(person, name)
    return Status(202, run_out(run_again(person, app=app, run=run_for(app, number))))
