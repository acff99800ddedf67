"""Translation of rows into runtime values and back. Only this package knows both sides."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from django.utils import timezone

from portal.apps.config import config_for_build, secret_names
from portal.apps.health import HealthSource, effective_check_of
from portal.apps.models import App, Instance, InstanceState, ProcessFormation
from portal.apps.sizes import Size
from portal.builds.models import Build, SourceKind
from portal.domains.access import hosts_of
from portal.events import EventKind, publish
from portal.images.actions import write_facts
from portal.images.facts import Config, LayerFacts
from portal.jobs.models import Run
from portal.quotas.access import quota_of
from portal.quotas.models import NetworkPolicy as NetworkPolicyRow
from portal.quotas.models import Quota
from portal.releases.access import config_of_release
from portal.releases.actions import RELEASE_PHASE
from portal.releases.models import Release, Rollout, RolloutState
from portal.traffic import sleep_history
from portal.traffic.access import traffic_of
from runtime.builds.image_description import ImageDescription
from runtime.builds.import_image import PushedImage, ReferredImage
from runtime.builds.requests import BuildRequest, BuiltImage
from runtime.containers.spec import Limits, TeamLimits
from runtime.contract.health import CheckKind, HealthCheck, to_document
from runtime.contract.quantities import Bytes, Millicores
from runtime.converge.container_spec import clamp
from runtime.converge.desired import DesiredApp, DesiredProcess, DesiredRelease
from runtime.converge.observed import ObservedApp, Phase
from runtime.converge.report import InstanceReport
from runtime.engines.node import NodeEngine
from runtime.images.digest import Digest
from runtime.images.exchange.transfer import Access
from runtime.network.policy import Destination, EgressPolicy, NetworkPolicy
from workers.bridge import traffic_settings, volumes
from workers.bridge.credentials import credentials_of, repository_of

log = logging.getLogger(__name__)
BUILD_DISK = Bytes(8 * 2**30)  # at most; sparse, so only what is written counts
BUILD_PROCESSES = 512


def desired_app(app: App) -> DesiredApp:
    """Return the desired state of an app.

    Its candidate is the rollout in state launching, if any.
    """
    quota = quota_of(app.team)
    traffic = traffic_of(app)
    rollout = launching(app)
    return DesiredApp(
        app=app.handle,
        team=app.team_id,
        hosts=hosts_of(app),
        team_limits=team_limits(quota),
        current=desired_release(app, app.current_release, quota) if app.current_release else None,
        candidate=(
            desired_release(app, rollout.release, quota, attempt=str(rollout.pk))
            if rollout
            else None
        ),
        deleted=app.deleted_at is not None,
        strategy=volumes.strategy_with_volumes(app, traffic_settings.strategy_of(traffic)),
        policy=traffic_settings.policy_of(traffic),
        paths=traffic_settings.paths_of(traffic),
        sleep=traffic_settings.sleep_of(traffic, quota),
        volumes=volumes.desired_volumes(app),
    )


def launching(app: App) -> Rollout | None:
    """Return the rollout whose instances are being started, or None."""
    return (
        Rollout.objects.filter(release__app=app, state=RolloutState.LAUNCHING)
        .select_related("release", "release__app")
        .order_by("-pk")
        .first()
    )


def desired_release(
    app: App, release: Release, quota: Quota, *, attempt: str = ""
) -> DesiredRelease:
    """Return a release with the app's formation.

    No instance exceeds the team's limits per instance.
    """
    formation = {row.process: row for row in ProcessFormation.objects.filter(app=app)}
    most = instance_limits(quota)
    processes = tuple(
        DesiredProcess(
            name=name,
            command=command,
            count=formation[name].count,
            limits=clamp(_limits(formation[name]), most),
        )
        for name, command in sorted(release.processes.items())
        if name != RELEASE_PHASE and name in formation
    )
    return DesiredRelease(
        number=release.number,
        image=release.image,
        environment=config_of_release(release),
        secrets=secret_names(app),
        processes=processes,
        health=(health := health_check(app, release)),
        boot_seconds=health.boot_seconds,
        drain_seconds=float(traffic_of(app).drain_seconds),
        generation=app.generation,
        attempt=attempt,
    )


def health_check(app: App, release: Release) -> HealthCheck:
    """Return the health check of a release's instances.

    Precedence: the app's manifest, the settings page, the image, GET /. If nobody chose a check,
    GET / is sent only until an instance is ready, so that an app's log is not full of it.
    """
    effective = effective_check_of(app, release.declared)
    found = effective.check
    return HealthCheck(
        kind=CheckKind(found.kind),
        path=found.path,
        command=found.command,
        timeout=found.timeout,
        start_period=found.start_period,
        interval=found.interval,
        attempts=found.attempts,
        only_until_ready=effective.source is HealthSource.DEFAULT,
    )


def app_file(built: BuiltImage) -> dict[str, object]:
    """Return the app's manifest as the portal stores it (portal.apps.declared)."""
    manifest = built.app_file
    return {
        "file": manifest.file,
        "processes": {
            name: {"count": process.count, "sizes": asdict(process.sizes)}
            for name, process in manifest.processes.items()
        },
        "variables": {name: asdict(variable) for name, variable in manifest.variables.items()},
        "release": asdict(manifest.release),
        "postdeploy": asdict(manifest.postdeploy),
        "crons": [asdict(cron) for cron in manifest.crons],
        "volumes": [asdict(volume) for volume in manifest.volumes],
        "health": _health(manifest.health),
        "image_health": _health(built.health),
    }


def run_limits(run: Run, quota: Quota) -> Limits:
    """Return a run's sizes, with an instance's default sizes for those not set.

    None exceeds the team's limits per instance.
    """
    usual = Size()
    wished = Limits(
        cpu=Millicores(run.sizes.get("cpu") or usual.cpu),
        memory=Bytes(run.sizes.get("memory") or usual.memory),
        processes=run.sizes.get("pids") or usual.processes,
        disk=Bytes(run.sizes.get("disk") or usual.disk),
    )
    return clamp(wished, instance_limits(quota))


def team_limits(quota: Quota) -> TeamLimits:
    """Return the limits for all containers of a team together."""
    return TeamLimits(
        cpu=Millicores(quota.cpu),
        memory=Bytes(quota.memory),
        processes=quota.processes_per_instance * max(quota.instances, 1) + BUILD_PROCESSES,
        network=network_policy(quota.team_id),
    )


def network_policy(team_id: int) -> NetworkPolicy:
    """Return the destinations that a team's containers may reach.

    A line that the node cannot parse is left out, which allows less and not more.
    """
    row = NetworkPolicyRow.objects.filter(team_id=team_id).first()
    if row is None:
        return NetworkPolicy()
    destinations = []
    for line in row.lines:
        try:
            destinations.append(Destination.parse(line))
        except ValueError as error:
            log.warning(
                "A line in the allow list of team %d is invalid and is left out: %s.",
                team_id,
                error,
            )
    return NetworkPolicy(
        egress=EgressPolicy(row.egress),
        destinations=tuple(destinations),
        builds_open=row.builds_open,
        bandwidth=row.bandwidth,
    )


def instance_limits(quota: Quota) -> Limits:
    """Return the largest limits of one instance of a team."""
    return Limits(
        cpu=Millicores(quota.cpu_per_instance),
        memory=Bytes(quota.memory_per_instance),
        processes=quota.processes_per_instance,
        disk=Bytes(quota.disk_per_instance),
    )


def build_request(build: Build, sources: Path) -> BuildRequest:
    """Return the request for a build.

    A build may use all that its team may, because it is short. The team's own limits apply to its
    build and its instances together.
    """
    quota = quota_of(build.app.team)
    limits = Limits(
        cpu=Millicores(quota.cpu),
        memory=Bytes(quota.memory),
        processes=BUILD_PROCESSES,
        disk=min(BUILD_DISK, Bytes(quota.disk)),
    )
    return BuildRequest(
        build_id=build.pk,
        app=build.app.handle,
        team=build.app.team_id,
        archive=sources / build.source.digest,
        filename=build.source.filename,
        limits=limits,
        team_limits=team_limits(quota),
        config_vars=config_for_build(build.app),
        repository=repository_of(build),
        substitutes=NetworkPolicyRow.objects.filter(
            team=build.app.team_id, substitutes=True
        ).exists(),
    )


def write_image(description: ImageDescription) -> None:
    """Write the parts of an image that never change to the portal's rows."""
    image_config = description.config
    layers = [
        LayerFacts(
            diff_id=layer.diff_id,
            digest=layer.digest,
            size=int(layer.size),
            unpacked=int(layer.unpacked),
            created_by=layer.created_by,
        )
        for layer in description.layers
    ]
    config = Config(
        environment=dict(image_config.environment),
        working_directory=image_config.working_directory,
        user=image_config.user,
        entrypoint=list(image_config.entrypoint),
        command=list(image_config.command),
        labels=dict(image_config.labels),
        exposed_ports=list(image_config.exposed_ports),
        volumes=list(image_config.volumes),
        stop_signal=image_config.stop_signal,
    )
    write_facts(description.digest, layers, config)


def image_to_import(build: Build, engine: NodeEngine) -> PushedImage | ReferredImage:
    """Return the image to import for a build.

    Its layers may unpack to as much as a build may write. A pushed image may use layers of the
    team's other images.
    """
    most = min(BUILD_DISK, Bytes(quota_of(build.app.team).disk))
    if build.source.kind == SourceKind.REFERRED:
        credentials = credentials_of(build)
        access = Access(
            user=credentials.get("username", ""), password=credentials.get("password", "")
        )
        return ReferredImage(
            build_id=build.pk,
            app=build.app.handle,
            name=build.source.filename,
            access=access,
            most=most,
            team=build.app.team_id,
            policy=network_policy(build.app.team_id),
        )
    return pushed_image(
        build,
        engine,
        digest=Digest.parse(f"sha256:{build.source.digest}"),
        name=build.source.filename,
    )


def pushed_image(build: Build, engine: NodeEngine, *, digest: Digest, name: str) -> PushedImage:
    """Return an image of the team that was pushed or released. `name` is for messages."""
    apps = App.objects.filter(team=build.app.team_id, deleted_at=None).values_list("pk", flat=True)
    return PushedImage(
        build_id=build.pk,
        app=build.app.handle,
        name=name,
        manifest=digest,
        received=engine.config.received,
        team=build.app.team_id,
        served=tuple(folder for app in apps for folder in engine.published.folders(app)),
        most=min(BUILD_DISK, Bytes(quota_of(build.app.team).disk)),
    )


def write_instances(app: App, reports: Iterable[InstanceReport], node: str) -> bool:
    """Write a node's reports of an app's instances to rows. Return True if anything changed.

    Rows of instances that are no longer reported become stopped.
    """
    reported = {report.id: report for report in reports}
    rows = {
        row.id: row
        for row in Instance.objects.filter(app=app, node=node).exclude(state=InstanceState.STOPPED)
    }
    changed = [
        report
        for report in reported.values()
        if report.id not in rows or _differs(rows[report.id], report)
    ]
    for report in changed:
        Instance.objects.update_or_create(
            id=report.id, defaults={"app": app, "node": node, "stopped_at": None, **_values(report)}
        )
    gone = [known for known in rows if known not in reported]
    if gone:
        Instance.objects.filter(id__in=gone).update(
            state=InstanceState.STOPPED, stopped_at=timezone.now()
        )
    if changed or gone:
        publish(app.name, EventKind.INSTANCES)
    return bool(changed or gone)


def write_sleep_state(app: App, observed: ObservedApp, now: float) -> None:
    """Write the app's sleep state: since when it sleeps, and if all its instances are stopped."""
    since = _moment(observed.asleep.since) if observed.asleep is not None else None
    stopped = all(
        instance.phase is Phase.CREATED for instance in observed.instances if instance.public
    )
    sleep_history.note(app, since=since, stopped=stopped, now=_moment(now))


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _health(check: HealthCheck | None) -> dict[str, object] | None:
    return {**to_document(check), "words": check.describe()} if check is not None else None


def _limits(row: ProcessFormation) -> Limits:
    return Limits(
        cpu=Millicores(row.cpu),
        memory=Bytes(row.memory),
        processes=row.processes,
        disk=Bytes(row.disk),
    )


def _values(report: InstanceReport) -> dict[str, object]:
    return {
        "process": report.process,
        "release_number": report.release,
        "state": InstanceState(report.state.value),
        "detail": report.detail,
        "restarts": report.restarts,
        "started_at": _moment(report.started_at) if report.started_at is not None else None,
    }


def _differs(row: Instance, report: InstanceReport) -> bool:
    """Return True if people would see a difference. A wait that counts down does not count."""
    return (row.state, row.restarts, row.detail.partition("\n")[0]) != (
        report.state.value,
        report.restarts,
        report.detail.partition("\n")[0],
    )
