"""The steps that create a container.

Removal finds the traces of each step from the container's folder alone (see removal).
"""

from __future__ import annotations

import json
import os
import resource
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from runtime import journal
from runtime.confined.session import Confinement
from runtime.containers import bundle, identity, kernel_accounts, seccomp
from runtime.containers.attachment import Network
from runtime.containers.cgroups.cgroup import Cgroups
from runtime.containers.disk import scratch
from runtime.containers.disk.mount_points import obstacle
from runtime.containers.disk.overlay import MountRoot
from runtime.containers.folder import Folder, Made
from runtime.containers.monitor import Monitor, program
from runtime.containers.spec import ContainerSpec, Purpose
from runtime.containers.userns import UserNamespaces
from runtime.errors import LaunchFailed
from runtime.kernel import Kernel

_OPEN_FILES = 65_536
_RESOLVER, _UNSTUBBED = Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf")


class Creation:
    """Creates containers from specs."""

    def __init__(
        self,
        *,
        kernel: Kernel,
        cgroups: Cgroups,
        namespaces: UserNamespaces,
        monitor: Monitor,
        network: Network | None,
        templates: Path,
        confinement: Confinement,
    ) -> None:
        self._kernel, self._cgroups, self._namespaces, self._monitor = (
            kernel,
            cgroups,
            namespaces,
            monitor,
        )
        self._network, self._templates, self._confinement = network, templates, confinement

    def make(self, folder: Folder, spec: ContainerSpec) -> None:
        """Do all steps before the start.

        If a step fails, the container is half-made, and the caller removes it.
        """
        userns = self._namespaces.of_team(spec.team, spec.first_id)
        # The network takes half of the time and depends on nothing else here.
        with ThreadPoolExecutor(1) as aside:
            attaching = aside.submit(self._attach, spec, userns)
            self._cgroups.create(
                spec.team, spec.id, spec.limits, build=spec.purpose is Purpose.BUILD
            )
            self._mount_root(folder, spec, userns)
            netns, address = attaching.result()
        self._write_files(folder, spec, userns, netns, address)
        pid, monitor = self._monitor.create(
            folder, self._cgroups.monitor_files(), build=spec.purpose is Purpose.BUILD
        )
        self._cgroups.limit_monitor(spec.team, monitor)
        _give_streams(pid, spec)
        folder.write_made(_made(folder, pid, monitor, address))

    def _attach(self, spec: ContainerSpec, userns: Path) -> tuple[Path | None, str | None]:
        if self._network is None or not spec.networked:
            return None, None
        attachment = self._network.attach(
            spec.id, userns, team=spec.team, app=spec.app, build=spec.purpose is Purpose.BUILD
        )
        return attachment.netns, str(attachment.address)

    def _mount_root(self, folder: Folder, spec: ContainerSpec, userns: Path) -> None:
        scratch.mount_scratch(
            self._kernel, self._templates, folder.image, folder.scratch, spec.limits.disk
        )
        build = spec.purpose is Purpose.BUILD
        root = 0 if build else spec.first_id  # a build's layer holds real ids
        os.chown(folder.scratch / "upper", root, root)
        temporary = folder.scratch / "tmp"
        os.chown(temporary, spec.first_id, spec.first_id)
        temporary.chmod(0o1777)
        with ExitStack() as stack:
            layer_ids = _opened(stack, userns)
            MountRoot(
                layers=spec.layers,
                scratch=folder.scratch,
                target=folder.rootfs,
                clones=folder.clones,
                layer_ids=layer_ids,
                upper_ids=layer_ids if build else None,
                owner=spec.first_id,
            ).execute(self._kernel)
        self._check_mount_points(folder, spec)

    def _check_mount_points(self, folder: Folder, spec: ContainerSpec) -> None:
        """Raise LaunchFailed if a volume would hide files of the image, or be behind a link."""
        if not spec.volumes:
            return
        with self._confinement.session(spec.team) as helper:
            top = helper.tree(folder.rootfs, as_written=True)
            for volume in spec.volumes:
                if why := helper.call(obstacle, top=top, path=volume.target):
                    raise LaunchFailed(
                        f"The volume at {volume.target} cannot be mounted: {why}.",
                        hint="Choose another path for the volume, or remove that from the image.",
                    )

    def _write_files(
        self,
        folder: Folder,
        spec: ContainerSpec,
        userns: Path,
        netns: Path | None,
        address: str | None,
    ) -> None:
        own = {
            "hosts": bundle.hosts_file(spec, address),
            "hostname": f"{bundle.hostname(spec)}\n",
            "resolv.conf": bundle.resolver_file(_text(_RESOLVER), unstubbed=_text(_UNSTUBBED)),
        }
        for name, text in own.items():
            (folder.etc / name).write_text(text)
            (folder.etc / name).chmod(0o644)
        host = bundle.HostFacts(
            rootfs=folder.rootfs,
            etc=folder.etc,
            temporary=folder.scratch / "tmp",
            init=program("catatonit"),
            userns=userns,
            netns=netns,
            cgroup=self._cgroups.path_of(spec.team, spec.id),
            show_cgroup=self._cgroups.is_unified,
            disks=_disks(),
            open_files=min(_OPEN_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),
            accounts=kernel_accounts.rlimits(),
            seccomp=seccomp.program(bundle.capabilities(spec)),
        )
        config = json.dumps(bundle.config(spec, host)).encode()
        journal.write_atomic(folder.bundle / "config.json", config, durable=False)


def _disks() -> tuple[str, ...]:
    """Return the folders below /sys/devices that contain physical disks.

    The folders of virtual disks, such as loop devices, are always masked.
    """
    places = {disk.resolve().parent for disk in Path("/sys/block").iterdir()}
    return tuple(
        sorted(str(place) for place in places if not place.is_relative_to("/sys/devices/virtual"))
    )


def _give_streams(pid: int, spec: ContainerSpec) -> None:
    """Allow the container's processes to open /dev/stdout and /dev/stderr.

    The monitor's pipes belong to the host's root. The process is still the OCI runtime, which waits
    for the start. So the app cannot have replaced its file descriptors yet.
    """
    for number in (1, 2):
        try:
            fd = os.open(f"/proc/{pid}/fd/{number}", os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:  # the process has ended; `_made` reports that
            return
        try:
            if stat.S_ISFIFO(os.fstat(fd).st_mode):
                os.fchown(fd, spec.first_id + spec.uid, spec.first_id + spec.gid)
                os.fchmod(fd, 0o622)
        finally:
            os.close(fd)


def _made(folder: Folder, pid: int, monitor: int, address: str | None) -> Made:
    pid_started, monitor_started = identity.started(pid), identity.started(monitor)
    if pid_started is None or monitor_started is None:
        raise LaunchFailed(
            f"Container {folder.id} ended while it was being created.",
            hint="Its memory may be too small for its init.",
        )
    return Made(
        pid=pid,
        pid_started=pid_started,
        monitor=monitor,
        monitor_started=monitor_started,
        boot=identity.boot(),
        address=address,
    )


def _opened(stack: ExitStack, path: Path) -> int:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    stack.callback(os.close, fd)
    return fd


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
