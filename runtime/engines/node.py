"""The engine of one node: the operations that workers call. Another engine would offer the same.

It decides nothing: `runtime.converge.planning.plan` does.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from runtime import journal
from runtime.config import NodeConfig
from runtime.confined.groups import use_groups
from runtime.containers.cgroups.helper_groups import HelperGroups
from runtime.containers.container import Container, Status, Usage
from runtime.containers.lifecycle import Containers
from runtime.containers.spec import Limits, Purpose, TeamLimits
from runtime.contract.health import HealthCheck
from runtime.contract.quantities import Bytes
from runtime.converge import app_state, container_spec
from runtime.converge.app_files import AppFiles
from runtime.converge.apply import Applier
from runtime.converge.commit import commit
from runtime.converge.desired import DesiredApp
from runtime.converge.explain import ProbeAnswer
from runtime.converge.observe import Observer
from runtime.converge.one_off import Runs
from runtime.converge.planning.plan import plan
from runtime.converge.probing.probe import Prober
from runtime.converge.probing.probe_network import Ask, ask
from runtime.converge.release_phase import ReleasePhases
from runtime.converge.wake import Booting, Waker
from runtime.engines.observation import Observation
from runtime.errors import LaunchFailed, RuntimeFailure
from runtime.images.collect import Garbage, Roots
from runtime.images.digest import Digest
from runtime.images.disk import disk_of
from runtime.images.exchange.published import Published
from runtime.images.layers.written import MOST_CHANGES, Written
from runtime.images.removal import Collected, GarbageCollector
from runtime.images.store import Store
from runtime.images.verify import remove_replaced
from runtime.kernel import Kernel
from runtime.logs import logfile
from runtime.logs.shipping import Shipper
from runtime.network.leases import Owner
from runtime.network.links import Network
from runtime.router.router import Router
from runtime.router.routes import AppSituation
from runtime.volumes.volumes import Volumes

if TYPE_CHECKING:  # the builder's modules take 10 MB, and the supervisor never builds
    from runtime.builds.builder import Builder
    from runtime.builds.image_description import ImageDescription
    from runtime.builds.import_image import PushedImage, ReferredImage
    from runtime.builds.requests import BuildRequest, BuiltImage
    from runtime.stacks.upgrade import Upgrade

_WAKE_WAIT = 25.0  # seconds for the app's lock, which is held while instances are stopped


class NodeEngine:
    """The operations of a node. Many processes may use it: locks and journals are on disk."""

    def __init__(
        self,
        config: NodeConfig,
        *,
        network: Network | None = None,
        containers: Containers | None = None,
        router: Router | None = None,
        images: Store | None = None,
        builder: Builder | None = None,
        clock: Callable[[], float] = time.time,
        ask: Ask = ask,
    ) -> None:
        self.config = config
        use_groups(HelperGroups(config))
        self.network = network or Network(config)
        self.containers = containers or Containers(config, self.network)
        self.router = router or Router(config)
        self.images = images or Store(config)
        self.volumes = Volumes(config)
        self.published = Published(config, self.images)
        self._builder = builder
        self._clock = clock
        self.app_files = AppFiles(config)
        self.shipper = Shipper(
            config=config,
            console=self.containers.log_path,
            free=Kernel().punch_hole,
            mask_of=lambda name: container_spec.mask_of(self.containers.state(name)),
        )
        self.runs = Runs(
            containers=self.containers,
            images=self.images,
            ship_ended=partial(self.ship_last, removed=False),
            ship_last=self.ship_last,
            last_lines=self.shipper.last_lines,
        )
        self.release_phases = ReleasePhases(
            containers=self.containers, images=self.images, shipper=self.shipper, clock=clock
        )
        self._prober = Prober(execute=self.containers.execute, ask=ask)
        self._waker = Waker(
            containers=self.containers,
            router=self.router,
            prober=self._prober,
            shipper=self.shipper,
            clock=clock,
        )
        self._observer = Observer(
            folder=config.instances,
            containers=self.containers,
            router=self.router,
            last_lines=self.shipper.last_lines,
            prober=self._prober,
            requests=self.app_files.request_counts,
            pulses=self.app_files.probe_results,
        )
        self._applier = Applier(
            containers=self.containers,
            router=self.router,
            images=self.images,
            volumes=self.volumes,
            before_removal=self.ship_last,
            new_suffix=lambda: secrets.token_hex(4),
            clock=clock,
            say=lambda app, text: self.shipper.say(app, text, at=self._clock()),
        )

    @property
    def builder(self) -> Builder:
        """Return the builder, created at the first use: most processes never build."""
        from runtime.builds.builder import Builder  # see above: only the build worker needs it

        self._builder = self._builder or Builder(self.config, self.images, self.containers)
        return self._builder

    def prepare(self) -> list[str]:
        """Prepare folders, network and router files. Remove and list what killed processes left."""
        self.config.locks.mkdir(parents=True, exist_ok=True)
        self.network.prepare(
            {
                container.id: Owner(
                    team=container.spec.team,
                    app=container.spec.app,
                    build=container.spec.purpose is Purpose.BUILD,
                )
                for container in self.containers.list()
            }
        )
        self.containers.prepare()
        self.volumes.prepare()
        self.router.prepare()
        swept = [
            line
            for folder in (self.config.app_logs, self.config.build_logs)
            for line in logfile.sweep(folder, now=self._clock())
        ]
        return [*self.containers.sweep(), *self.builder.sweep(), *swept]

    def tear_down(self) -> None:
        """Remove everything of Slipway from the kernel; files stay."""
        self.containers.tear_down()
        self.volumes.tear_down()
        self.network.tear_down()

    def build(
        self, request: BuildRequest, log: Callable[[str], None], *, cancelled: Callable[[], bool]
    ) -> BuiltImage:
        """Build an image from a source. Raises BadArchive, BadSource or BuildFailed."""
        return self.builder.build(request, log, cancelled=cancelled)

    def import_image(
        self,
        image: PushedImage | ReferredImage,
        log: Callable[[str], None],
        *,
        cancelled: Callable[[], bool],
    ) -> BuiltImage:
        """Import an image that was built elsewhere. Raises ImageDamaged or BadSource."""
        return self.builder.import_image(image, log, cancelled=cancelled)

    def upgrade(self, digest: str, progress: Callable[[str], None]) -> Upgrade:
        """Move an image to its newest stack, if safe. Hold a lease until a row names it."""
        from runtime.stacks.upgrade import upgrade  # see above

        return upgrade(self.config, self.images, digest, progress)

    @contextmanager
    def holding(self, app: str, *, timeout: float = 0.0) -> Iterator[bool]:
        """Hold the lock of an app. Yields False if another process holds it."""
        with journal.lock(self.config.locks / f"app-{app}", timeout=timeout) as held:
            yield held

    def look(self, desired: DesiredApp) -> Observation:
        """Observe and plan; change nothing. The caller holds the app's lock."""
        now = self._clock()
        stored = app_state.load(self.app_files.state(desired.app))
        observed = self._observer.observe(desired, stored, now)
        return Observation(observed=observed, plan=plan(desired, observed, now), at=now)

    def act(self, desired: DesiredApp, look: Observation) -> None:
        """Execute the plan of the look. The caller holds the app's lock."""
        present = {instance.id for instance in look.observed.instances}
        self._applier.apply(
            desired, look.plan.actions, self.app_files.state(desired.app), present=present
        )

    def collect_garbage(self, kept: Callable[[], Roots]) -> Collected | None:
        """Remove what neither `kept` nor a container needs. None: another process does it."""
        from runtime.builds.packages.cache import PackageCaches  # see above

        mounted: dict[str, float] = {}
        for container in self.containers.list():
            for path in container.spec.layers:
                since = mounted.get(path.name, container.created_at)
                mounted[path.name] = min(since, container.created_at)
        remove_replaced(self.config, mounted)
        full = disk_of(self.config).percent >= self.config.disk_high
        PackageCaches(self.config).collect(self._clock(), all_of_it=full)
        return GarbageCollector(self.config, self.images).collect(lambda: self._roots(kept()))

    def preview_garbage(self, kept: Callable[[], Roots]) -> tuple[Garbage, Bytes]:
        """Return what a collection would remove now, and its approximate size."""
        return GarbageCollector(self.config, self.images).preview(lambda: self._roots(kept()))

    def _roots(self, kept: Roots) -> Roots:
        used = {
            path.name
            for container in self.containers.list()
            for path in container.spec.layers
            if path.parent == self.config.layers
        }
        return replace(kept, layers=kept.layers | {Digest(f"sha256:{name}") for name in used})

    def remove_app(self, app: str, *, images: tuple[str, ...] = ()) -> None:
        """Remove the rest of a stopped app: its state, its logs, the names of its images."""
        self.release_phases.remove(app)
        self.runs.remove_all(app)
        self.router.remove(app)
        for name in images:
            self.images.untag(name)
        self.app_files.remove(app)
        self.shipper.forget(app)
        self.network.forget(app)

    def remove_endpoint(self, app: str, ended: str) -> bool:
        """Send no requests to an ended instance. Return whether the router had it."""
        routes = self.router.route(app)
        if routes is None or all(endpoint.instance != ended for endpoint in routes.endpoints):
            return False
        remaining = tuple(endpoint for endpoint in routes.endpoints if endpoint.instance != ended)
        canary = routes.canary if any(endpoint.canary for endpoint in remaining) else None
        left = replace(routes, endpoints=remaining, canary=canary)
        for process in {
            endpoint.process for endpoint in routes.endpoints if endpoint.instance == ended
        }:
            # Hold requests: most instances are back soon, and reconciliation refuses them if not.
            if not left.taking(process) and left.situation_of(process) is AppSituation.SERVING:
                left = left.with_situation(process, AppSituation.HOLDING)
        self.router.set(left)
        return True

    def written(self, id: str, *, most: int = MOST_CHANGES) -> Written:
        """Return what an instance wrote over its image. Raises LaunchFailed if it is gone."""
        return self.containers.written(id, most=most)

    def describe(self, digest: str) -> ImageDescription:
        """Return an image's layers and configuration. Raises ImageDamaged if it is missing."""
        from runtime.builds.image_description import describe  # see above

        return describe(self.config, self.images, digest)

    def commit(self, id: str) -> Digest:
        """Create an image, without an owner, from an instance and the files that it wrote."""
        return commit(self.config, self.images, self.containers, id)

    def wake(self, app: str) -> tuple[Booting, ...]:
        """Wake a sleeping app for its first request. Reconciliation does the rest afterwards.

        Returns the started instances: call `admit` with each, and `keep_woken` after the
        request's answer. Raises LaunchFailed if another process holds the app's lock for too long.
        """
        if app_state.load(self.app_files.state(app)).asleep is None:
            return ()  # requests wait for another reason: nothing is asleep, and no lock is needed
        with self.holding(app, timeout=_WAKE_WAIT) as held:
            if not held:
                raise LaunchFailed(
                    f"Could not wake {app}: another change took longer than {_WAKE_WAIT:.0f} s.",
                    hint="Try again.",
                )
            return self._waker.wake(app, self.app_files.state(app), self._instances_of(app))

    def admit(self, booting: Booting) -> bool:
        """Route requests to a booting instance if it passes its check; return whether it does."""
        if not self._waker.passes_check(booting):
            return False
        app = booting.container.spec.app
        with self.holding(app, timeout=_WAKE_WAIT) as held:
            return held and self._waker.admit(self.app_files.state(app), booting)

    def keep_woken(self, app: str) -> None:
        """Flush the routes that a wake changed to disk, after the request has its answer."""
        self.router.make_durable(app)

    def set_team_limits(self, team: int, limits: TeamLimits, each: Limits | None = None) -> None:
        """Set the limits of a team's running containers: in total, and the maximum for each."""
        if limits.network.names:
            self.network.refresh_names(limits.network.names)  # first, or allow lists block them
        self.containers.set_team_limits(team, limits)
        if each is None:
            return
        for container in self.instances():
            clamped = container_spec.clamp(container.spec.limits, each)
            if (
                container.spec.team == team
                and container.status is Status.RUNNING
                and clamped != container.spec.limits
            ):
                self._clamp(container, clamped)

    def _instances_of(self, app: str) -> list[Container]:
        """Return an app's instances, without reading the others of the node."""
        found = self.containers.list(f"{app}-")  # another app's name may have the same start
        return [
            item
            for item in found
            if item.spec.app == app and item.spec.labels.get("kind") == container_spec.INSTANCE
        ]

    def instances(self) -> list[Container]:
        """Return all instances of all apps on this node, without builds."""
        return self._of_kinds(container_spec.INSTANCE)

    def watched(self) -> list[Container]:
        """Return the instances and runs, whose output and exit the supervisor handles."""
        return self._of_kinds(container_spec.INSTANCE, container_spec.RUN)

    def _of_kinds(self, *kinds: str) -> list[Container]:
        return [
            container
            for container in self.containers.list()
            if container.spec.labels.get("kind") in kinds
        ]

    def build_containers(self) -> list[Container]:
        """Return the containers in which steps of builds run."""
        return [
            container
            for container in self.containers.list()
            if container.spec.purpose is Purpose.BUILD
            and container.status in (Status.CREATED, Status.RUNNING)
        ]

    def usage(self, id: str) -> Usage | None:
        """Return the resources that an instance uses now; None when it is gone."""
        return self.containers.usage(id)

    def ship(self, container: Container) -> int:
        """Copy an instance's output since the last call into its app's log."""
        return self.shipper.ship(
            container.spec.app, container.id, container_spec.log_name(container)
        )

    def ship_last(self, id: str, *, removed: bool = True) -> None:
        """Copy the rest of an ended instance's output, before its files are removed (or not)."""
        container, kinds = self.containers.state(id), (container_spec.INSTANCE, container_spec.RUN)
        if container is not None and container.spec.labels.get("kind") in kinds:
            app, name = container.spec.app, container_spec.log_name(container)
            self.shipper.ship(app, id, name, ended=True, last=removed)

    def check_health(self, container: Container, check: HealthCheck) -> ProbeAnswer:
        """Check one instance, within the check's time limit."""
        routes = self.router.route(container.spec.app)
        return self._prober.check(
            container,
            routes.hosts[0] if routes is not None and routes.hosts else container.spec.app,
            check,
        )

    def _clamp(self, container: Container, limits: Limits) -> None:
        try:
            self.containers.set_limits(container.id, limits)
        except RuntimeFailure as failure:  # it uses more now; until then the team's limit applies
            text = f"{container.id} keeps its limits until it is restarted: {failure.explain()}"
            self.shipper.say(container.spec.app, text, at=self._clock())
