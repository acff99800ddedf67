"""Rows to runtime values and back: the only module that knows both sides."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from django.utils import timezone

from portal.apps.config import config_of
from portal.apps.health import counting_for
from portal.apps.models import App, Instance, InstanceState, ProcessFormation
from portal.apps.secrets import decrypt_config
from portal.apps.sizes import Size
from portal.builds.models import Build, SourceKind
from portal.domains.access import hosts_of
from portal.events import Kind, publish
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
from runtime.builds.builder import BuildRequest, BuiltImage
from runtime.builds.image_description import ImageTale
from runtime.builds.import_image import PushedImage, ReferredImage
from runtime.containers.spec import Limits, TeamLimits
from runtime.contract.health import CheckKind, HealthCheck
from runtime.contract.quantities import Bytes, Millicores
from runtime.converge.container_spec import clamp
from runtime.converge.desired import DesiredApp, DesiredProcess, DesiredRelease
from runtime.converge.observed import ObservedApp, Phase
from runtime.converge.report import InstanceReport
from runtime.engines.node import NodeEngine
from runtime.images.digest import Digest
from runtime.images.exchange.transfer import Access
from runtime.network.policy import Destination, Egress, NetworkPolicy
from workers.bridge import traffic_settings

log = logging.getLogger(__name__)
BUILD_DISK = Bytes(8 * 2**30)  # at most; sparse, so only what is written counts
BUILD_PROCESSES = 512


def desired_app(app: App) -> DesiredApp:
    """What should run of an app now. Its candidate is the rollout that has come to launching, if any."""
    quota = quota_of(app.team)
    traffic = traffic_of(app)
    rollout = launching(app)
    return DesiredApp(
        app=app.name,
        team=app.team_id,
        hosts=hosts_of(app),
        team_limits=team_limits(quota),
        current=desired_release(app, app.current_release, quota) if app.current_release else None,
        candidate=desired_release(app, rollout.release, quota, attempt=str(rollout.pk)) if rollout else None,
        deleted=app.deleted_at is not None,
        strategy=traffic_settings.strategy_of(traffic),
        policy=traffic_settings.policy_of(traffic),
        paths=traffic_settings.paths_of(traffic),
        sleep=traffic_settings.sleep_of(traffic, quota),
    )


def launching(app: App) -> Rollout | None:
    """The rollout whose instances are being started."""
    return (
        Rollout.objects.filter(release__app=app, state=RolloutState.LAUNCHING)
        .select_related("release", "release__app")
        .order_by("-pk")
        .first()
    )


def desired_release(app: App, release: Release, quota: Quota, *, attempt: str = "") -> DesiredRelease:
    """A release with the app's formation, no instance above what its team may have for one."""
    formation = {row.process: row for row in ProcessFormation.objects.filter(app=app)}
    most = instance_limits(quota)
    processes = tuple(
        DesiredProcess(name=name, command=command, count=formation[name].count, limits=clamp(_limits(formation[name]), most))
        for name, command in sorted(release.processes.items())
        if name != RELEASE_PHASE and name in formation
    )
    return DesiredRelease(
        number=release.number,
        image=release.image,
        environment=config_of_release(release),
        processes=processes,
        health=(health := health_check(app, release)),
        boot_seconds=health.boot_seconds,
        drain_seconds=float(traffic_of(app).drain_seconds),
        generation=app.generation,
        attempt=attempt,
    )


def health_check(app: App, release: Release) -> HealthCheck:
    """What its instances are asked: the file's word, else the settings page's, else the image's, else a GET of /."""
    found = counting_for(app, release.declared).check
    return HealthCheck(
        kind=CheckKind(found.kind),
        path=found.path,
        command=found.command,
        timeout=found.timeout,
        start_period=found.start_period,
        interval=found.interval,
        attempts=found.attempts,
    )


def app_file(built: BuiltImage) -> dict[str, object]:
    """What the app's file says, as the portal keeps it (portal.apps.declared)."""
    said = built.app_file
    return {
        "file": said.file,
        "processes": {name: {"count": one.count, "sizes": asdict(one.sizes)} for name, one in said.processes.items()},
        "variables": {name: asdict(one) for name, one in said.variables.items()},
        "release": asdict(said.release),
        "postdeploy": asdict(said.postdeploy),
        "crons": [asdict(one) for one in said.crons],
        "health": _health(said.health),
        "image_health": _health(built.health),
    }


def run_limits(run: Run, quota: Quota) -> Limits:
    """A run's own sizes, or the usual ones of one instance, none above what its team may have for one."""
    usual = Size()
    wished = Limits(
        cpu=Millicores(run.sizes.get("cpu") or usual.cpu),
        memory=Bytes(run.sizes.get("memory") or usual.memory),
        processes=run.sizes.get("pids") or usual.processes,
        disk=Bytes(run.sizes.get("disk") or usual.disk),
    )
    return clamp(wished, instance_limits(quota))


def team_limits(quota: Quota) -> TeamLimits:
    """What all of a team's containers may use together."""
    return TeamLimits(
        cpu=Millicores(quota.cpu),
        memory=Bytes(quota.memory),
        processes=quota.processes_per_instance * max(quota.instances, 1) + BUILD_PROCESSES,
        network=network_policy(quota.team_id),
    )


def network_policy(team_id: int) -> NetworkPolicy:
    """What a team's containers may reach. A line that the node does not take is left out, which allows less and not more."""
    row = NetworkPolicyRow.objects.filter(team_id=team_id).first()
    if row is None:
        return NetworkPolicy()
    destinations = []
    for line in row.lines:
        try:
            destinations.append(Destination.parse(line))
        except ValueError as error:
            log.warning("The allow list of team %d has a line that is left out: %s.", team_id, error)
    return NetworkPolicy(egress=Egress(row.egress), destinations=tuple(destinations), builds_open=row.builds_open, bandwidth=row.bandwidth)


def instance_limits(quota: Quota) -> Limits:
    """The most that one instance may have."""
    return Limits(
        cpu=Millicores(quota.cpu_per_instance),
        memory=Bytes(quota.memory_per_instance),
        processes=quota.processes_per_instance,
        disk=Bytes(quota.disk_per_instance),
    )


def build_request(build: Build, sources: Path) -> BuildRequest:
    """A build may use all that its team may, for it is short; the team's own limits hold it beside the team's instances."""
    quota = quota_of(build.app.team)
    limits = Limits(
        cpu=Millicores(quota.cpu), memory=Bytes(quota.memory), processes=BUILD_PROCESSES, disk=min(BUILD_DISK, Bytes(quota.disk))
    )
    return BuildRequest(
        build_id=build.pk,
        app=build.app.name,
        team=build.app.team_id,
        archive=sources / build.source.digest,
        filename=build.source.filename,
        limits=limits,
        team_limits=team_limits(quota),
        secrets=config_of(build.app),  # as the release that comes of it will have them
    )


def write_image(tale: ImageTale) -> None:
    """Mirror what never changes of an image."""
    one = tale.config
    layers = [
        LayerFacts(
            diff_id=layer.diff_id, digest=layer.digest, size=int(layer.size), unpacked=int(layer.unpacked), created_by=layer.created_by
        )
        for layer in tale.layers
    ]
    config = Config(
        environment=dict(one.environment),
        working_directory=one.working_directory,
        user=one.user,
        entrypoint=list(one.entrypoint),
        command=list(one.command),
        labels=dict(one.labels),
        exposed_ports=list(one.exposed_ports),
        volumes=list(one.volumes),
        stop_signal=one.stop_signal,
    )
    write_facts(tale.digest, layers, config)


def credentials_of(build: Build) -> dict[str, str]:
    """For the registry that its image is in; empty where none were given."""
    return decrypt_config(build.encrypted_credentials) if build.encrypted_credentials else {}


def image_to_take_in(build: Build, engine: NodeEngine) -> PushedImage | ReferredImage:
    """Its layers may unpack to as much as a build may write; parts of a pushed one may be other images' of the team."""
    most = min(BUILD_DISK, Bytes(quota_of(build.app.team).disk))
    if build.source.kind == SourceKind.REFERRED:
        who = credentials_of(build)
        access = Access(user=who.get("username", ""), password=who.get("password", ""))
        return ReferredImage(
            build_id=build.pk,
            app=build.app.name,
            name=build.source.filename,
            access=access,
            most=most,
            team=build.app.team_id,
            policy=network_policy(build.app.team_id),
        )
    apps = App.objects.filter(team=build.app.team_id, deleted_at=None).values_list("pk", flat=True)
    return PushedImage(
        build_id=build.pk,
        app=build.app.name,
        name=build.source.filename,
        manifest=Digest.parse(f"sha256:{build.source.digest}"),
        received=engine.config.received,
        team=build.app.team_id,
        served=tuple(folder for app in apps for folder in engine.published.folders(app)),
        most=most,
    )


def write_instances(app: App, reports: Iterable[InstanceReport], node: str) -> bool:
    """Mirror what a node tells of an app's instances; rows of those it no longer tells of are stopped. True if anything changed."""
    told = {one.id: one for one in reports}
    rows = {row.id: row for row in Instance.objects.filter(app=app, node=node).exclude(state=InstanceState.STOPPED)}
    changed = [one for one in told.values() if one.id not in rows or _differs(rows[one.id], one)]
    for one in changed:
        Instance.objects.update_or_create(id=one.id, defaults={"app": app, "node": node, "stopped_at": None, **_values(one)})
    gone = [known for known in rows if known not in told]
    if gone:
        Instance.objects.filter(id__in=gone).update(state=InstanceState.STOPPED, stopped_at=timezone.now())
    if changed or gone:
        publish(app.name, Kind.INSTANCES)
    return bool(changed or gone)


def write_nap(app: App, observed: ObservedApp, now: float) -> None:
    """Mirror whether an app sleeps, and since when it does so without any process."""
    since = _moment(observed.asleep.since) if observed.asleep is not None else None
    stopped = all(one.phase is Phase.CREATED for one in observed.instances if one.public)
    sleep_history.note(app, since=since, stopped=stopped, now=_moment(now))


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _health(check: HealthCheck | None) -> dict[str, object] | None:
    return {**asdict(check), "words": check.describe()} if check is not None else None


def _limits(row: ProcessFormation) -> Limits:
    return Limits(cpu=Millicores(row.cpu), memory=Bytes(row.memory), processes=row.processes, disk=Bytes(row.disk))


def _values(one: InstanceReport) -> dict[str, object]:
    return {
        "process": one.process,
        "release_number": one.release,
        "state": InstanceState(one.state.value),
        "detail": one.detail,
        "restarts": one.restarts,
        "started_at": _moment(one.started_at) if one.started_at is not None else None,
    }


def _differs(row: Instance, one: InstanceReport) -> bool:
    """What people would see; a wait that counts down is not news."""
    return (row.state, row.restarts, row.detail.partition("\n")[0]) != (one.state.value, one.restarts, one.detail.partition("\n")[0])
