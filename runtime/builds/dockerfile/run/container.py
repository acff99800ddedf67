"""RUN: one container of the team with the mounts of --mount.

Its writable layer is the step's layer.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from runtime.builds import authorities
from runtime.builds.context import BuildContext
from runtime.builds.dockerfile import work
from runtime.builds.dockerfile.mounts import Kind, Mount
from runtime.builds.dockerfile.room import check_size
from runtime.builds.dockerfile.run.cache_mounts import CACHE_LIMIT, CacheMounts, CacheWatch
from runtime.builds.dockerfile.run.mounts_disk import MountsDisk
from runtime.builds.dockerfile.run.script import script_of
from runtime.builds.dockerfile.run.values import MountContent, Options, Run
from runtime.builds.dockerfile.settings import command_line
from runtime.builds.dockerfile.syntax import Instruction
from runtime.builds.dockerfile.union import union
from runtime.builds.sandbox import WORKSPACE, run_within
from runtime.containers.spec import Bind, ContainerSpec, Purpose, Temporary
from runtime.errors import BuildFailed, LaunchFailed
from runtime.images.layers import sanitizing
from runtime.images.manifest import Layer
from runtime.images.scratch import remove_tree
from runtime.kernel import MountFlag

_log = logging.getLogger(__name__)
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_QUIET = MountFlag.NO_SETUID | MountFlag.NO_DEVICES
_OF_MOUNTS = (
    "open()ing /dev/",
    "create device `/dev/",
    "`/dev/init` not found",
)  # messages of the OCI runtime when a mount hides /dev through a link
_OF_TARGETS = ("mount `", "mkdir `")  # its calls that fail because of a mount's target, with
_REASONS = ("Not a directory", "Is a directory", "File name too long", "Too many levels")
_OF_NAMES = (
    "chdir `",
    "openat2 `",
)  # calls of the OCI runtime that fail because of a name that the Dockerfile chose
_AUTHORITIES = (  # /dev is the container's own tmpfs, so no trace of the file gets into a layer
    "/dev/authorities.crt"
)


@dataclass(slots=True)
class RunStep:
    """One RUN that runs."""

    context: BuildContext
    options: Options
    asked: Run

    def run(self, log: Callable[[str], None]) -> Layer:
        """Return the layer of its changes. `log` gets the output.

        BuildFailed names the line; the log then has its output.
        """
        context, budget = self.context, self.context.budget
        of = self.asked.of
        with ExitStack() as stack:
            spec, caches = self._spec(stack)
            context.containers.remove(spec.id)  # of a build that was killed
            stack.callback(context.containers.remove, spec.id)
            watch = CacheWatch(self._caches.size if caches else None)
            try:
                end = run_within(context, spec, log=log, is_to_end=watch)
            except LaunchFailed as failure:
                if not self._is_of_names(failure):
                    raise
                _log.info("%s: %s", context.workspace.name, failure.what)  # has host paths
                places = [mount.target for mount in self.asked.mounts if mount.target]
                mounted = f" and the mounts on {', '.join(places)}" if places else ""
                raise BuildFailed(
                    f"Dockerfile, line {of.line}: could not create the step's container with the"
                    f" working directory {spec.working_directory}{mounted}.",
                    hint=(
                        "The working directory, or a mount's target, is not a folder there, or is"
                        " behind a link. A file can be mounted only on a file."
                    ),
                ) from failure
            watch.measure()
            if watch.full:
                for folder in caches:
                    remove_tree(folder, team=context.team, as_written=True)
            if watch.full and not budget.is_cancelled():
                what = (
                    f"Dockerfile, line {of.line}: the team's cache mounts exceeded {CACHE_LIMIT}."
                )
                raise BuildFailed(
                    what, hint="The step's cache mounts were emptied; store less in them."
                )
            budget.check(
                f"Dockerfile, line {of.line}: `{_short(of)}` reached its time limit and was"
                " stopped.",
                hint="",
            )
            if end.code != 0:
                raise BuildFailed(
                    f"Dockerfile, line {of.line}: `{_short(of)}` failed. {end.explain()}",
                    hint="See the build log.",
                )
            upper = context.containers.upper(spec.id)
            with context.helper.tree(upper) as top:
                size = context.helper.call(sanitizing.size, top=top)
            check_size(of, size, context.limits.disk)
            return context.store.add_layer(upper, team=context.team)

    def _is_of_names(self, failure: LaunchFailed) -> bool:
        """Return whether names that the Dockerfile chose are the cause."""
        if any(call in failure.what for call in _OF_NAMES):
            return True
        targets = [mount.target.strip("/") for mount in self.asked.mounts if mount.target]
        return bool(self.asked.mounts) and (
            any(words in failure.what for words in _OF_MOUNTS)
            or (
                any(call in failure.what for call in _OF_TARGETS)
                and any(reason in failure.what for reason in _REASONS)
                and any(target in failure.what for target in targets)
            )
        )

    @property
    def _caches(self) -> CacheMounts:
        return CacheMounts(context=self.context, asked=self.asked)

    def _spec(self, stack: ExitStack) -> tuple[ContainerSpec, list[Path]]:
        run, context, options, user = self.asked, self.context, self.options, self.asked.account
        binds: list[Bind] = []
        temporaries: list[Temporary] = []
        caches: list[Path] = []
        disk = MountsDisk(context=context, place=run.place, stack=stack)
        environment = {"PATH": PATH, "HOME": user.home, **options.proxies}
        if options.authorities is not None:
            binds.append(Bind(source=options.authorities, target=_AUTHORITIES))
            environment |= dict.fromkeys(authorities.VARIABLES, _AUTHORITIES)
        environment |= run.environment
        text, script = script_of(run.of) if not run.of.exec_form else ("", None)
        command = (
            run.of.args if run.of.exec_form else command_line(run.of, run.config.shell, (text,))
        )
        if script is not None:
            command = (text,)
            binds.append(Bind(source=_file(run.place / "script", script, 0o755), target=text))
        for number, mount in enumerate(run.mounts):
            if mount.kind is Kind.TMPFS:
                temporaries.append(Temporary(target=mount.target, size=mount.size))
            elif mount.kind is Kind.SECRET:
                environment |= self._secret(mount, number, binds, stack)
            elif mount.kind is Kind.CACHE:
                folder = stack.enter_context(self._caches.using(mount, number))
                caches.append(folder)
                binds.append(Bind(source=folder, target=mount.target, writable=mount.writable))
            else:
                place = self._show(
                    run.lent[number], number, stack, disk if mount.writable else None
                )
                binds.append(Bind(source=place, target=mount.target, writable=mount.writable))
        spec = ContainerSpec(
            id=run.id,
            app=context.app,
            team=context.team,
            layers=run.layers,
            command=command,
            environment=environment,
            working_directory=run.config.working_directory or "/",
            uid=user.uid,
            gid=user.gid,
            groups=user.groups,
            limits=context.limits,
            binds=tuple(binds),
            temporaries=tuple(temporaries),
            own_tmp=False,  # the next step must find the files that a step leaves in /tmp
            networked=run.of.flag("network") != "none",
            purpose=Purpose.BUILD,
            labels={WORKSPACE: context.workspace.name},
        )
        return spec, caches

    def _show(
        self, lent: MountContent, number: int, stack: ExitStack, disk: MountsDisk | None
    ) -> Path:
        """Return a place where the container runtime finds the content of a bind mount.

        Writes to it go to `disk`, and are discarded. Without a disk, it is read-only.
        The name comes from a tenant, so the kernel resolves it only inside the union. Its target
        is mounted by descriptor.
        """
        context, layers = self.context, lent.layers
        if lent.is_context and self._has_rules():
            layers = (self._seen(),)
        name = f"union{number}"
        flags = _QUIET if disk else _QUIET | MountFlag.READ_ONLY
        with union(
            layers,
            self._folder(name),
            context.helper,
            context.kernel,
            changes=disk.folder(name) if disk else None,
            attached=True,
        ) as united:
            try:
                found = united.root.open_in_root(lent.name)
            except OSError as error:  # a link in the path leads to a file that is not in the image
                raise self.asked.of.wrong(
                    f"source={lent.name} does not exist or cannot be mounted: {error.strerror}."
                ) from None
            try:
                mount = context.kernel.clone_below(found, flags=flags)
            finally:
                os.close(found)
        return self._attach(mount, number, stack)

    def _attach(self, mount: int, number: int, stack: ExitStack) -> Path:
        """Attach a detached mount to a new folder or file in the workspace, until the step has
        ended.
        """
        place = self.asked.place / f"mount{number}"
        try:
            if stat.S_ISDIR(os.fstat(mount).st_mode):
                place.mkdir()
            else:
                place.touch()
            self.context.kernel.attach(mount, place)
        finally:
            os.close(mount)
        stack.callback(self.context.kernel.unmount, place, lazily=True)
        return place

    def _has_rules(self) -> bool:
        with self.context.helper.tree(self.asked.source) as source:
            return self.context.helper.call(work.has_rules, source=source)

    def _seen(self) -> Path:
        """Return a copy of the part of the context that .dockerignore keeps. A build has one."""
        place = self.context.workspace / "seen"
        if place.exists():
            return place
        place.mkdir(mode=0o755)
        helper = self.context.helper
        with helper.tree(self.asked.source) as source, helper.tree(place, writable=True) as target:
            helper.call(work.copy_seen, source=source, target=target)
        return place

    def _folder(self, name: str) -> Path:
        place = self.asked.place / name
        place.mkdir(mode=0o755)
        return place

    def _secret(
        self, mount: Mount, number: int, binds: list[Bind], stack: ExitStack
    ) -> dict[str, str]:
        value, of, context = self.options.secrets.get(mount.id), self.asked.of, self.context
        if value is None:
            if mount.required:
                raise of.wrong(
                    f"The secret {mount.id!r} is required and not set.",
                    hint=f"Set the config var {mount.id} of the app.",
                )
            return {}
        if mount.target:
            path = _file(self.asked.place / f"secret{number}", value.encode(), mount.mode)
            os.chown(path, mount.uid, mount.gid)
            mount_of_value = context.kernel.clone_tree(
                path, idmap=context.helper.ids, flags=_QUIET | MountFlag.READ_ONLY
            )
            binds.append(
                Bind(source=self._attach(mount_of_value, number, stack), target=mount.target)
            )
        return {mount.variable: value} if mount.variable else {}


def _file(path: Path, data: bytes, mode: int) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


def _short(of: Instruction) -> str:
    return of.text if len(of.text) < 120 else f"{of.text[:117]}…"
