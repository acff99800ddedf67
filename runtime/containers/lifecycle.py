"""Containers on this node: their creation, start, limits and removal.

All state is in the folders and in the kernel, so any number of processes may use a `Containers`.
runtime.converge decides what runs.
"""

from __future__ import annotations

import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from runtime import journal
from runtime.config import NodeConfig
from runtime.confined.session import Confinement
from runtime.containers import identity, seccomp, sockets
from runtime.containers.attachment import Network
from runtime.containers.cgroups.cgroup import Cgroups, unless_gone
from runtime.containers.cgroups.version import open_cgroups
from runtime.containers.container import Container, Exit, Status, Usage
from runtime.containers.creation import Creation
from runtime.containers.disk.writable import Writable
from runtime.containers.execution import Executed, execute
from runtime.containers.folder import Folder, Journalled
from runtime.containers.following import ForegroundRun
from runtime.containers.monitor import Monitor
from runtime.containers.removal import Removal
from runtime.containers.spec import ContainerSpec, Limits, Purpose, TeamLimits
from runtime.containers.states import States, is_running
from runtime.containers.traversal import make_traversable
from runtime.containers.userns import UserNamespaces
from runtime.errors import LaunchFailed
from runtime.images.layers.written import MOST_CHANGES, Written
from runtime.kernel import Kernel

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")

Found: TypeAlias = list[Container]  # inside the class, `list` is a method
Endpoints: TypeAlias = list[tuple[str, int]]
Words: TypeAlias = list[str]


class Containers:
    """The only interface to this node's containers. Without `network`, each has an empty one."""

    def __init__(
        self, config: NodeConfig, network: Network | None = None, *, kernel: Kernel | None = None
    ) -> None:
        self._config, self._network, self._kernel = config, network, kernel or Kernel()
        self._monitor = Monitor(config.run / "crun", self._kernel)
        self._namespaces = UserNamespaces(config.run / "userns", self._kernel)

    def prepare(self) -> None:
        """Create folders and control groups, and check the programs. May be called again.

        Raises HostLacks, which names what is missing.
        """
        for folder, mode in (
            (self._config.instances, 0o711),
            (self._config.run / "userns", 0o700),
            (self._templates, 0o700),
        ):
            folder.mkdir(mode=mode, parents=True, exist_ok=True)
        make_traversable(self._config.instances, ours=self._config.state)
        self._cgroups.prepare()
        self._monitor.prepare()
        seccomp.program(())

    def launch(self, spec: ContainerSpec) -> Container:
        """Create and start a container."""
        self.create(spec)
        try:
            self.start(spec.id)
        except LaunchFailed:
            self.remove(spec.id)
            raise
        return self._known(spec.id)

    def create(self, spec: ContainerSpec) -> Container:
        """Create a container without starting it.

        Raises LaunchFailed or KernelRefused. Nothing of the container is left then.
        """
        if not _ID.fullmatch(spec.id):
            raise LaunchFailed(
                f"{spec.id!r} is not a valid container id.",
                hint="Use 1 to 80 of a-z, 0-9 and dash.",
            )
        folder = self._folder(spec.id)
        with self._born(folder):
            try:
                folder.write_journalled(Journalled(spec=spec, created_at=time.time()))
                self._creation.make(folder, spec)
            except BaseException:
                self._removal.remove(folder)
                raise
        return self._known(spec.id)

    def start(self, id: str) -> None:
        """Run the command of a created container. Do nothing if it already runs."""
        folder = self._folder(id)
        with folder.claimed() as held:
            journalled = folder.journalled()
            if not held or journalled is None or folder.made() is None:
                raise LaunchFailed(f"There is no container {id} to start.")
            if folder.started_at() is not None and not self._monitor.is_waiting(id):
                return
            folder.write_started(time.time())
            self._monitor.start(id, build=journalled.spec.purpose is Purpose.BUILD)

    def run(
        self,
        spec: ContainerSpec,
        *,
        on_output: Callable[[str, str], None],
        timeout: float,
        cancelled: Callable[[], bool] = lambda: False,
        on_freeze: Callable[[bool], None] = lambda _: None,
    ) -> Exit:
        """Run a container in the foreground; pass each line of output to `on_output(stream, line)`.

        It ends after `timeout` seconds, or when `cancelled()` is true. It is stopped, not removed,
        so that the caller can read a build's writable layer. `on_freeze` is called at each freeze
        and thaw.
        """
        self.create(spec)
        try:
            self.start(spec.id)
            following = ForegroundRun(
                folder=self._folder(spec.id),
                end=self._removal.end,
                is_frozen=lambda: self.is_frozen(spec.id),
                on_freeze=on_freeze,
            )
            following.follow(on_output, timeout, cancelled)
            return self._exit_of(spec.id)
        finally:
            self.stop(spec.id, grace=0)

    def freeze(self, id: str, *, frozen: bool = True) -> None:
        """Freeze or thaw a container. Do nothing if it has ended or does not exist.

        A container that is being copied is not thawed here: the copy thaws it at its end.
        """
        folder = self._folder(id)
        if (journalled := folder.journalled()) and (frozen or not self._writable.is_held(folder)):
            self._cgroups.freeze(journalled.spec.team, id, frozen=frozen)

    def reclaim(self, id: str) -> None:
        """Release memory that a frozen container does not need. Do nothing if it has ended."""
        if journalled := self._folder(id).journalled():
            self._cgroups.reclaim(journalled.spec.team, id)

    def is_frozen(self, id: str) -> bool:
        """Return whether the container was frozen."""
        return (known := self._folder(id).journalled()) is not None and self._cgroups.is_frozen(
            known.spec.team, id
        )

    def execute(self, id: str, command: Sequence[str], *, timeout: float) -> Executed:
        """Run an additional command in a container. Raises LaunchFailed if it does not run."""
        folder = self._folder(id)
        made = folder.made()
        if made is None or not is_running(made) or self._monitor.is_waiting(id):
            raise LaunchFailed(f"There is no running container {id}.")
        return execute(self._monitor.runtime, folder, made, command, timeout=timeout)

    def stop(self, id: str, grace: float = 10) -> None:
        """Send SIGTERM, and after `grace` seconds SIGKILL. Do nothing if it has ended."""
        folder = self._folder(id)
        made = folder.made()
        if made is None or folder.exit_code() is not None:
            return
        if grace > 0 and made.boot == identity.boot() and not self._monitor.is_waiting(id):
            identity.send(made.pid, made.pid_started, signal.SIGTERM)
            if not identity.wait(made.pid, made.pid_started, grace):
                folder.write_reason(
                    f"It did not end within {grace:g} s after SIGTERM, and was killed."
                )
        self._removal.end(folder, made)

    def remove(self, id: str) -> None:
        """Remove all traces of a container in any state. Do nothing if it does not exist."""
        folder = self._folder(id)
        with folder.claimed() as held:
            if held:
                self._removal.remove(folder)

    def state(self, id: str) -> Container | None:
        """Return the container's current state, or None if it does not exist."""
        return self._states.of(self._folder(id))

    def list(self, beginning: str = "") -> Found:
        """Return containers, also half-made ones, whose id starts with `beginning`, by id."""
        folders = (folder for folder in self._folders() if folder.id.startswith(beginning))
        return [container for folder in folders if (container := self.state(folder.id)) is not None]

    def usage(self, id: str) -> Usage | None:
        """Return the container's resource usage, or None if its kernel resources are gone."""
        return self._states.usage(self._folder(id))

    def set_limits(self, id: str, limits: Limits) -> None:
        """Change a container's limits while it runs. A new disk size applies from the next launch.

        Raises KernelRefused if more memory is in use than the new limit.
        """
        folder = self._folder(id)
        with folder.claimed() as held:
            if not held or (journalled := folder.journalled()) is None:
                raise LaunchFailed(f"Could not set limits: there is no container {id}.")
            self._cgroups.set_limits(journalled.spec.team, id, limits)
            folder.write_journalled(
                replace(journalled, spec=replace(journalled.spec, limits=limits))
            )

    def set_team_limits(self, team: int, limits: TeamLimits) -> None:
        """Change the limits of a team, which may have running containers or none."""
        self._cgroups.set_team_limits(team, limits)
        if self._network is not None:
            self._network.set_policy(team, limits.network)
        for container in self.list():
            if container.spec.team == team and container.status in (Status.CREATED, Status.RUNNING):
                with unless_gone():  # another process may be removing it
                    self._cgroups.set_limits(team, container.id, container.spec.limits)

    def upper(self, id: str) -> Path:
        """Return the writable layer of a build container that has ended.

        It has real ids, and the mount points that the platform created are removed.
        """
        return self._writable.of_build(self._folder(id))

    def written(self, id: str, *, most: int = MOST_CHANGES) -> Written:
        """Return an instance's changes to its image. Raises LaunchFailed if it does not exist."""
        return self._writable.changes(self._folder(id), most=most)

    def copy_written(
        self, id: str, into: Path, *, most: int, while_still: Callable[[], None] = lambda: None
    ) -> None:
        """Copy an instance's changes, with real ids, while it is frozen.

        Raises BuildFailed if they have more than `most` bytes.
        """
        self._writable.copy(self._folder(id), into, most=most, while_still=while_still)

    def wake_forgotten(self) -> Words:
        """Thaw the containers that a killed platform process left frozen. Return log lines."""
        return self._writable.wake_forgotten(self._folders())

    def listening(self, id: str) -> Endpoints:
        """Return each (address, port) on which a process inside listens."""
        made = self._folder(id).made()
        return sockets.listening(made.pid) if made and is_running(made) else []

    def log_path(self, id: str) -> Path:
        """Return the path of its output, in the monitor's format (see runtime.containers.logs)."""
        return self._folder(id).console

    def sweep(self) -> Words:
        """Remove half-made containers and traces without a journal. Return log lines."""
        if not self._config.instances.is_dir():
            return []
        done: Words = self.wake_forgotten()
        with journal.lock(self._births):  # afterwards, each new folder is locked by its creator
            folders = [*self._folders()]
        for folder in folders:
            if folder.made() is None:
                with folder.claimed(wait=False) as held:
                    if held and folder.made() is None:
                        self._removal.remove(folder)
                        done.append(f"removed the half-made container {folder.id}")
        return [*done, *self._removal.sweep(self._folders())]

    def tear_down(self) -> None:
        """Remove all of this node's containers, control groups, namespaces and mounts."""
        for folder in [*self._folders()]:
            self.remove(folder.id)
        self.sweep()
        self._namespaces.remove_all()
        self._cgroups.remove_all()
        shutil.rmtree(self._config.run / "userns", ignore_errors=True)
        self._monitor.tear_down()

    @property
    def _templates(self) -> Path:
        return self._config.disk_templates

    @property
    def _births(self) -> Path:
        return self._config.instances / ".lock"

    @cached_property
    def _cgroups(self) -> Cgroups:
        return open_cgroups(self._config.cgroup_parent, self._kernel)

    @cached_property
    def _states(self) -> States:
        return States(cgroups=lambda: self._cgroups, monitor=self._monitor)

    @cached_property
    def _creation(self) -> Creation:
        return Creation(
            kernel=self._kernel,
            cgroups=self._cgroups,
            namespaces=self._namespaces,
            monitor=self._monitor,
            network=self._network,
            templates=self._templates,
            confinement=self._confinement,
        )

    @cached_property
    def _confinement(self) -> Confinement:
        return Confinement(kernel=self._kernel)

    @cached_property
    def _writable(self) -> Writable:
        return Writable(cgroups=self._cgroups, confinement=self._confinement)

    @cached_property
    def _removal(self) -> Removal:
        return Removal(
            instances=self._config.instances,
            kernel=self._kernel,
            cgroups=self._cgroups,
            monitor=self._monitor,
            network=self._network,
        )

    def _folder(self, id: str) -> Folder:
        return Folder(self._config.instances / id)

    def _folders(self) -> Iterator[Folder]:
        if self._config.instances.is_dir():
            for path in sorted(self._config.instances.iterdir()):
                if _ID.fullmatch(path.name):
                    yield Folder(path)

    @contextmanager
    def _born(self, folder: Folder) -> Iterator[None]:
        """Create a folder, locked from the start, so that a sweep does not remove it."""
        with ExitStack() as stack:
            with journal.lock(self._births):
                try:
                    folder.make()
                except FileExistsError:
                    raise LaunchFailed(
                        f"Container {folder.id} already exists.", hint="Remove it first."
                    ) from None
                stack.enter_context(folder.claimed())
            yield

    def _known(self, id: str) -> Container:
        if (container := self.state(id)) is None:
            raise LaunchFailed(f"Container {id} was removed while it was being made.")
        return container

    def _exit_of(self, id: str) -> Exit:
        if (ended := self._known(id).exit) is None:
            raise LaunchFailed(
                f"The monitor of container {id} was killed, so the container's exit code is not"
                " known."
            )
        return ended
