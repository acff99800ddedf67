"""Convert rows to the API's schemas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from portal.api.app_schemas import ConfigOut
from portal.api.schemas import (
    AppFileHealthOut,
    AppFileOut,
    AppFileProcessOut,
    AppFileVariableOut,
    AppOut,
    BuildOut,
    ChangeOut,
    HealthOut,
    HealthSettingsOut,
    ImageConfigOut,
    ImageJobOut,
    ImageLineOut,
    ImageOut,
    InstanceOut,
    LayerOut,
    ReleaseOut,
    RolloutOut,
    RunOut,
    StepOut,
    UsageOut,
)
from portal.api.traffic_schemas import SavedOut
from portal.apps.access import Usage, url_of
from portal.apps.config import hidden_while_building, shown_config
from portal.apps.declared import Declared, Health
from portal.apps.health import HealthSource, current_check, effective_check_of, health_of
from portal.apps.models import App, Instance
from portal.builds.models import Build
from portal.builds.queue_order import position_of
from portal.deploys.access import rollout_of
from portal.deploys.app_status import AppStatus, statuses_of
from portal.images.access import Listed, Named
from portal.images.facts import ImageView
from portal.images.jobs import changes_of
from portal.images.models import ImageJob
from portal.jobs.models import Run
from portal.plaintext import printable, printable_lines
from portal.releases.models import Release, Rollout
from portal.traffic.sleep_history import SleepSavings


def app_out(app: App) -> AppOut:
    return apps_out([app])[0]


def apps_out(apps: Sequence[App]) -> list[AppOut]:
    """Convert many apps, with as many queries as for one."""
    statuses = statuses_of(apps)
    return [_app_out(app, statuses[app.pk]) for app in apps]


def _app_out(app: App, status: AppStatus) -> AppOut:
    return AppOut(
        name=app.name,
        team=app.team.name,
        description=printable(app.description),
        url=url_of(app),
        state=status.word,
        status=status.sentence,
        release=app.current_release.number if app.current_release else None,
        created_at=app.created_at,
    )


def config_out(app: App, release: Release | None = None) -> ConfigOut:
    """Return the config vars of the next release. `release` is the one that a change created."""
    config = shown_config(app)
    return ConfigOut(
        config={name: value for name, value in config.items() if value is not None},
        secret=[name for name, value in config.items() if value is None],
        release=release.number if release else None,
        not_while_building=sorted(hidden_while_building(app)),
    )


def build_out(build: Build) -> BuildOut:
    rollout = rollout_of(build)
    return BuildOut(
        id=build.pk,
        state=build.state,
        reason=printable_lines(build.reason),
        origin=build.origin,
        description=printable_lines(build.description),
        commit=build.commit,
        author=build.author,
        created_at=build.created_at,
        started_at=build.started_at,
        finished_at=build.finished_at,
        release=rollout.release.number if rollout else None,
        position=position_of(build),
    )


def release_out(release: Release, app: App) -> ReleaseOut:
    return ReleaseOut(
        number=release.number,
        description=release.description,
        image=release.image,
        processes=release.processes,
        by=release.created_by.username if release.created_by else None,
        created_at=release.created_at,
        current=release.pk == app.current_release_id,
    )


def rollout_out(rollout: Rollout) -> RolloutOut:
    return RolloutOut(
        release=rollout.release.number,
        state=rollout.state,
        reason=printable_lines(rollout.reason),
        steps=[
            StepOut(**{**step, "text": printable_lines(step["text"])}) for step in rollout.steps
        ],
        created_at=rollout.created_at,
        finished_at=rollout.finished_at,
    )


def run_out(run: Run) -> RunOut:
    return RunOut(
        id=run.pk,
        kind=run.kind,
        name=run.name,
        release=run.release.number,
        command=run.command,
        state=run.state,
        reason=printable_lines(run.reason),
        by=run.created_by.username if run.created_by else None,
        scheduled_for=run.scheduled_for,
        created_at=run.created_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        seconds=run.took.total_seconds() if run.took is not None else None,
        exit_code=run.exit_code,
    )


def app_file_out(app: App, declared: Declared, config: Mapping[str, str]) -> AppFileOut:
    counting, lacking = effective_check_of(app, declared), declared.lacks(config)
    return AppFileOut(
        file=declared.file or None,
        processes={
            name: AppFileProcessOut(count=process.count, **asdict(process.sizes))
            for name, process in declared.processes.items()
        },
        env={
            name: AppFileVariableOut(
                default=variable.value is not None,
                generated=variable.digits > 0,
                required=variable.required,
                missing=name in lacking,
                description=variable.description,
            )
            for name, variable in declared.variables.items()
        },
        release_timeout=declared.release.timeout,
        postdeploy=declared.postdeploy.command or None,
        health=(
            _check_out(counting.check)
            if counting.source in (HealthSource.FILE, HealthSource.DOCKERFILE)
            else None
        ),
        cron=[cron.name for cron in declared.crons],
    )


def health_out(app: App) -> HealthOut:
    counting, row = current_check(app), health_of(app)
    return HealthOut(
        source=counting.source,
        counts=_check_out(counting.check),
        settings=HealthSettingsOut.from_orm(row) if row is not None else None,
    )


def instance_out(instance: Instance, usage: Usage | None) -> InstanceOut:
    return InstanceOut(
        id=instance.id,
        process=instance.process,
        release=instance.release_number,
        node=instance.node,
        state=instance.state,
        detail=printable_lines(instance.detail),
        restarts=instance.restarts,
        started_at=instance.started_at,
        usage=UsageOut.from_orm(usage) if usage else None,
    )


def image_line_out(line: Listed) -> ImageLineOut:
    return ImageLineOut(
        app=line.named.app.name,
        name=line.named.name,
        digest=line.named.digest,
        tags=list(line.tags),
        layers=len(line.view.layers) if line.view else None,
        own_bytes=line.view.own if line.view else None,
        shared_bytes=line.view.shared if line.view else None,
    )


def image_out(named: Named, view: ImageView, tags: list[str]) -> ImageOut:
    layers = [
        LayerOut(
            digest=layer.facts.digest,
            diff_id=layer.facts.diff_id,
            created_by=layer.facts.created_by,
            bytes=layer.facts.size,
            unpacked_bytes=layer.facts.unpacked,
            shared_with=list(layer.apps),
            shared_with_others=layer.others,
        )
        for layer in view.layers
    ]
    return ImageOut(
        app=named.app.name,
        name=named.name,
        digest=named.digest,
        kept=named.is_kept,
        tags=tags,
        own_bytes=view.own,
        shared_bytes=view.shared,
        layers=layers,
        config=ImageConfigOut(**view.config),
    )


def image_job_out(job: ImageJob) -> ImageJobOut:
    result = {
        name: job.result.get(name)
        for name in (
            "added",
            "changed",
            "deleted",
            "whole",
            "digest",
            "tag",
            "release",
            "filename",
            "bytes",
        )
    }
    return ImageJobOut(
        id=job.pk,
        kind=job.kind,
        state=job.state,
        reason=job.reason,
        created_at=job.created_at,
        finished_at=job.finished_at,
        changes=[
            ChangeOut(kind=change.kind, path=change.path, bytes=change.size)
            for change in changes_of(job)
        ],
        **result,
    )


def saved_out(saved: SleepSavings | None) -> SavedOut:
    """Convert the savings; an app that never slept has saved nothing."""
    if saved is None:
        return SavedOut(
            of_seconds=0,
            asleep_seconds=0,
            stopped_seconds=0,
            naps=0,
            instance_seconds=0,
            memory_bytes=0,
            asleep_since=None,
        )
    return SavedOut(
        of_seconds=round(saved.of.total_seconds()),
        asleep_seconds=round(saved.asleep.total_seconds()),
        stopped_seconds=round(saved.stopped.total_seconds()),
        naps=saved.naps,
        instance_seconds=round(saved.instance_time.total_seconds()),
        memory_bytes=saved.memory,
        asleep_since=saved.since,
    )


def _check_out(check: Health) -> AppFileHealthOut:
    return AppFileHealthOut(
        kind=check.kind,
        check=check.words,
        timeout=check.timeout,
        start_period=check.start_period,
        interval=check.interval,
        attempts=check.attempts,
    )
