"""The changing parts of an app's pages: status, instances and last deploys. Used by views and the
event stream."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from portal.apps.access import formation_of, instances_of, url_of, usage_of
from portal.apps.models import App, Instance
from portal.apps.sizes import Size
from portal.builds.models import Build, BuildState
from portal.deploys.app_status import AppStatus, status_of
from portal.domains.access import hosts_of
from portal.jobs.access import Jobs, jobs_of
from portal.metrics.series import RequestActivity, request_activity_of
from portal.pages.apps.glance import Glance, glance_of
from portal.quotas.access import quota_of
from portal.quotas.decision import limited_by
from portal.releases.history import Deploy, history_of
from portal.traffic.access import scalings_of
from portal.traffic.models import Scaling

LAST_DEPLOYS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceLine:
    """An instance with its last usage sample. CPU and memory are None without a sample."""

    instance: Instance
    cpu: int | None
    cpu_limit: int
    memory: int | None
    memory_limit: int

    @property
    def name(self) -> str:
        """Return the name that the log shows: `web.1a2b3c4d`."""
        return f"{self.instance.process}.{self.instance.id.rpartition('-')[2]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The changing parts of the overview page."""

    app: App
    url: str
    status: AppStatus
    instances: list[InstanceLine]
    deploys: list[Deploy]
    building: Build | None
    jobs: Jobs
    scaling: Scaling | None  # the last decision of autoscaling
    pulse: RequestActivity | None  # None if there were no requests in the last minutes
    glance: Glance | None  # None without data of the last hour
    hosts: Sequence[str]


def overview_of(app: App) -> Overview:
    """Read the current state."""
    return Overview(
        app=app,
        url=url_of(app),
        status=status_of(app),
        instances=instance_lines(app),
        deploys=history_of(app, most=LAST_DEPLOYS),
        building=Build.objects.filter(app=app, state__in=(BuildState.QUEUED, BuildState.BUILDING))
        .order_by("-id")
        .first(),
        jobs=jobs_of(app),
        scaling=next(iter(scalings_of(app, most=1)), None),
        pulse=request_activity_of([app.handle]).get(app.handle),
        glance=glance_of(app.handle, time.time()),
        hosts=hosts_of(app),
    )


def instance_lines(app: App) -> list[InstanceLine]:
    """Return running instances with their usage and the limits that the kernel enforces."""
    instances = list(instances_of(app))
    usage = usage_of(instances)
    quota = quota_of(app.team)
    sizes = {row.process: limited_by(Size.of(row), quota) for row in formation_of(app)}
    lines = []
    for instance in instances:
        used, size = usage.get(instance.id), sizes.get(instance.process, Size())
        lines.append(
            InstanceLine(
                instance=instance,
                cpu=used.cpu_millicores if used else None,
                cpu_limit=size.cpu,
                memory=used.memory_bytes if used else None,
                memory_limit=(used.memory_limit if used else 0) or size.memory,
            )
        )
    return lines
