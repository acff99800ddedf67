"""Build an image from an archive: unpack, plan, install, add the code, write. The log has every
step.

No folder, container or mount remains after a build, even after a kill. A build works in one
workspace with a flock.
`sweep` removes workspaces whose lock is free.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime import cancellation
from runtime.builds.budget import Budget
from runtime.builds.context import BuildContext
from runtime.builds.dockerfile.health import health_of
from runtime.builds.image_build import ImageBuild
from runtime.builds.import_image import PushedImage, ReferredImage, import_image
from runtime.builds.layer_cache import StepCache
from runtime.builds.log_figures import count, seconds, sizes
from runtime.builds.packages.cache import PackageCaches
from runtime.builds.requests import BuildRequest, BuiltImage
from runtime.builds.sandbox import WORKSPACE
from runtime.config import NodeConfig
from runtime.confined.session import Confinement
from runtime.containers.lifecycle import Containers
from runtime.images import disk, scratch
from runtime.images.exchange.published import ORIGINAL
from runtime.images.exchange.pulls import Pulls
from runtime.images.store import Store
from runtime.kernel import Kernel

Log = Callable[[str], None]

TIME_LIMIT = 1800.0  # seconds, a whole build


class Builder:
    """Builder of images on this node. Any number of builds may run at the same time."""

    def __init__(
        self,
        config: NodeConfig,
        store: Store,
        containers: Containers,
        *,
        time_limit: float = TIME_LIMIT,
    ) -> None:
        self._config, self._store, self._containers, self._time_limit = (
            config,
            store,
            containers,
            time_limit,
        )
        self._cache, self._pulls = StepCache(config, store), Pulls(config, store)
        self._kernel, self._confinement = Kernel(), Confinement()
        self.packages = PackageCaches(config)

    def build(
        self, request: BuildRequest, log: Log, cancelled: Callable[[], bool] = lambda: False
    ) -> BuiltImage:
        """Build, and write each step to `log`. BadArchive, BadSource and BuildFailed carry the
        reason.
        """
        self._config.workspaces.mkdir(parents=True, exist_ok=True)
        self._config.workspaces.chmod(
            0o711
        )  # other users cannot list them, and the names cannot be guessed
        disk.check_room(self._config)
        with self._store.lease(), scratch.scratch(self._config.workspaces) as workspace:
            workspace.chmod(
                0o711
            )  # a container's root, unprivileged here, must reach its bind mounts
            budget = Budget(self._time_limit, log, cancelled=cancelled)
            with (
                cancellation.when(cancelled),
                disk.reporting_when_full(),
                self._confinement.session(request.team) as helper,
                scratch.emptied_at_end(workspace, helper),
                self._unmounted_at_end(workspace),
            ):
                context = BuildContext(
                    build_id=request.build_id,
                    app=request.app,
                    team=request.team,
                    limits=request.limits,
                    team_limits=request.team_limits,
                    config_vars=request.config_vars,
                    workspace=workspace,
                    budget=budget,
                    log=log,
                    helper=helper,
                    config=self._config,
                    store=self._store,
                    containers=self._containers,
                    cache=self._cache,
                    packages=self.packages,
                    kernel=self._kernel,
                )
                return ImageBuild(context, self._pulls, request).run()

    def import_image(
        self,
        image: PushedImage | ReferredImage,
        log: Log,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> BuiltImage:
        """Import an image that was made elsewhere. Raise the errors of `build`, and
        ImageDamaged.
        """
        disk.check_room(self._config)
        started = time.monotonic()
        with self._store.lease(), cancellation.when(cancelled), disk.reporting_when_full():
            imported = import_image(self._config, self._store, image, log)
            cancellation.check()
            digest = self._store.write_image(
                imported.layers, imported.config, {ORIGINAL: imported.original}
            )
            self._store.tag(f"{image.app}:build-{image.build_id}", digest)
        log(f"Processes: {', '.join(imported.processes)}")
        log(
            f"Image: {digest.short}, {sizes(imported.layers)} in"
            f" {count(len(imported.layers), 'layer')}, imported in {seconds(started)}"
        )
        return BuiltImage(
            digest=digest, processes=imported.processes, health=health_of(imported.config)
        )

    def sweep(self) -> list[str]:
        """Remove the remains of killed builds: workspaces without a lock, and their containers.
        Return messages.
        """
        self._config.workspaces.mkdir(parents=True, exist_ok=True)
        for mount in self._kernel.mounts_below(self._config.workspaces):
            if not scratch.is_held(
                self._config.workspaces / mount.relative_to(self._config.workspaces).parts[0]
            ):
                self._kernel.unmount(mount, lazily=True)
        removed = scratch.sweep(self._config.workspaces)
        for container in self._containers.list():
            name = container.spec.labels.get(WORKSPACE)
            if name and not (self._config.workspaces / name).exists():
                self._containers.remove(container.id)
                removed.append(f"removed the container {container.id} of a build that was killed")
        return [*removed, *self._store.sweep()]

    @contextmanager
    def _unmounted_at_end(self, workspace: Path) -> Iterator[None]:
        """Unmount everything below the workspace before it is removed, also after an error."""
        try:
            yield
        finally:
            for mount in self._kernel.mounts_below(workspace):
                self._kernel.unmount(mount, lazily=True)
