"""RUN: one container of the team with the mounts of --mount.

Its writable layer is the step's layer.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from runtime import journal
from runtime.builds import authorities
from runtime.builds.context import BuildContext
from runtime.builds.dockerfile import work
from runtime.builds.dockerfile.accounts import Account, Read
from runtime.builds.dockerfile.mounts import Kind, Mount
from runtime.builds.dockerfile.settings import command_line
from runtime.builds.dockerfile.syntax import Instruction
from runtime.builds.dockerfile.union import union
from runtime.builds.package_cache import PackageCaches
from runtime.builds.sandbox import WORKSPACE, run_within
from runtime.confined import removal
from runtime.confined.session import Session
from runtime.containers.spec import Bind, ContainerSpec, Purpose, Temporary, first_id_of
from runtime.contract.quantities import Bytes
from runtime.errors import BuildFailed, LaunchFailed
from runtime.images.manifest import ImageConfig, Layer
from runtime.images.scratch import remove_tree
from runtime.kernel import MountFlag

CACHE_LIMIT = Bytes(4 << 30)  # of all cache mounts of a team
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SCRIPTS = "/dev/pipes"  # the folder in which BuildKit shows a heredoc that is a script
_QUIET = MountFlag.NO_SETUID | MountFlag.NO_DEVICES
_OF_MOUNTS = (
    "open()ing /dev/",
    "create device `/dev/",
    "`/dev/init` not found",
)  # messages of the OCI runtime when a mount hides /dev through a link
_OF_NAMES = (
    "chdir `",
    "openat2 `",
)  # calls of the OCI runtime that fail because of a name that the Dockerfile chose
_AUTHORITIES = (  # /dev is the container's own tmpfs, so no trace of the file gets into a layer
    "/dev/authorities.crt"
)
_LOOK = 5.0  # seconds between two measurements of a cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The values that a Dockerfile's build gets from outside: those of the request, and those of
    this host.
    """

    arguments: Mapping[str, str]  # --build-arg
    secrets: Mapping[str, str]  # by id
    proxies: Mapping[str, str]  # this host's proxies: for RUN, never in the image or a key
    authorities: Path | None = (
        None  # a bundle of certificates that RUN trusts, also never in the image or a key
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lent:
    """The content of a mount: a name in the context, or in the union of a stage's or image's
    layers.
    """

    layers: tuple[Path, ...]  # topmost first; only the source for the context
    name: str
    is_context: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One RUN with all its values."""

    of: Instruction
    id: str  # of its container
    place: Path  # a folder to work in
    config: ImageConfig
    environment: Mapping[str, str]
    layers: tuple[Path, ...]  # topmost first
    source: Path  # the build context
    account: Account
    mounts: tuple[Mount, ...]
    lent: Mapping[int, Lent]  # number of a mount -> its content


def script_of(run: Instruction) -> tuple[str, bytes | None]:
    """Return (shell text, script).

    A single heredoc that begins with #! is a separate program; other heredocs belong to the
    shell.
    """
    bodies = run.heredocs
    if not bodies:
        return run.args[0], None
    line = run.args[0]
    if (
        len(bodies) == 1
        and line.lstrip("0123456789<- \t").strip("'\"") == bodies[0].name
        and line.lstrip("0123456789").startswith("<<")
    ):
        text = bodies[0].content
        return (
            (f"{_SCRIPTS}/{bodies[0].name}", text.encode())
            if text.startswith("#!")
            else (text, None)
        )
    return f"{line}\n" + "".join(f"{body.content}{body.name}\n" for body in bodies), None


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
            watch = _CacheWatch(self._cached_bytes if caches else None)
            try:
                end = run_within(context, spec, log=log, is_to_end=watch)
            except LaunchFailed as failure:
                if not any(
                    call in failure.what
                    for call in (*_OF_NAMES, *(_OF_MOUNTS if self.asked.mounts else ()))
                ):
                    raise
                what = (
                    f"Dockerfile, line {of.line}: could not create the step's container."
                    f" {failure.what}"
                )
                raise BuildFailed(
                    what,
                    hint=(
                        "The working directory, or a mount's target, is not a folder there, or is"
                        " behind a link."
                    ),
                ) from failure
            if watch.full and not budget.is_cancelled():
                for folder in caches:
                    remove_tree(folder, team=context.team, as_written=True)
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
            return context.store.add_layer(context.containers.upper(spec.id), team=context.team)

    @property
    def _caches(self) -> Path:
        return self.context.config.cache / "mounts" / str(self.context.team)

    def _cached_bytes(self) -> int:
        """Return the total bytes of the team's caches.

        Each cache is measured separately, since the helper cannot read their parent folder, which
        root owns.
        Slipway chose the names of the caches.
        """
        total, helper = 0, self.context.helper
        for folder in self._caches.iterdir():
            if not folder.name.startswith("."):  # a new cache is renamed after it is filled
                with helper.tree(folder, as_written=True) as top:
                    total += helper.call(removal.measure, top=top)
        return total

    def _spec(self, stack: ExitStack) -> tuple[ContainerSpec, list[Path]]:
        run, context, options, user = self.asked, self.context, self.options, self.asked.account
        binds: list[Bind] = []
        temporaries: list[Temporary] = []
        caches: list[Path] = []
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
                folder = stack.enter_context(self._cache(mount, number))
                caches.append(folder)
                binds.append(Bind(source=folder, target=mount.target, writable=mount.writable))
            else:
                place = self._show(run.lent[number], number, stack, writable=mount.writable)
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

    def _show(self, lent: Lent, number: int, stack: ExitStack, *, writable: bool) -> Path:
        """Return a place where the container runtime finds the content of a bind mount.

        Writes to it are discarded.
        The name comes from a tenant, so the kernel resolves it only inside the union. Its target
        is mounted by descriptor.
        """
        context, layers = self.context, lent.layers
        if lent.is_context and self._has_rules():
            layers = (self._seen(number),)
        flags = _QUIET if writable else _QUIET | MountFlag.READ_ONLY
        with union(
            layers, self._folder(f"union{number}"), context.helper, context.kernel, attached=True
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

    def _seen(self, number: int) -> Path:
        place = self._folder(f"context{number}")
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

    @contextmanager
    def _cache(self, mount: Mount, number: int) -> Iterator[Path]:
        """Yield a team's cache folder, which remains after the build.

        At first, it is filled with the content that `from` names. Its files have the ids of the
        team's containers.
        """
        context, of = self.context, self.asked.of
        name = hashlib.sha256(mount.id.encode()).hexdigest()[:32]
        self._caches.mkdir(mode=0o711, parents=True, exist_ok=True)
        folder = self._caches / name
        caches = PackageCaches(context.config)
        if not any(earlier.kind is Kind.CACHE for earlier in self.asked.mounts[:number]):
            caches.cut_mounts(context.team, CACHE_LIMIT)
        with ExitStack() as stack:
            stack.enter_context(caches.using(context.team))
            if mount.locked:
                left = max(context.budget.left(), 1)
                if not stack.enter_context(
                    journal.lock(
                        context.config.locks / f"mount-{context.team}-{name}", timeout=left
                    )
                ):
                    raise BuildFailed(
                        f"Dockerfile, line {of.line}: another build used the cache mount {mount.id}"
                        " until the time limit."
                    )
            if not folder.exists():
                self._fill_cache(mount, number, folder)
            os.utime(folder)  # its last use, for the collector
            yield folder

    def _fill_cache(self, mount: Mount, number: int, folder: Path) -> None:
        context = self.context
        first = first_id_of(context.team)
        fresh = folder.with_name(f".{folder.name}")  # appears complete, or not at all
        remove_tree(fresh, team=context.team, as_written=True)
        fresh.mkdir(mode=0o700)
        os.chown(fresh, first, first)
        if number in self.asked.lent:
            lent = self.asked.lent[number]
            with (
                union(
                    lent.layers, self._folder(f"union{number}"), context.helper, context.kernel
                ) as united,
                context.helper.tree(fresh, writable=True, as_written=True) as target,
            ):
                context.helper.call(work.fill, source=united.root, name=lent.name, target=target)
        fresh.chmod(mount.mode)
        os.chown(fresh, first + mount.uid, first + mount.gid)
        fresh.rename(folder)


def reader(layers: tuple[Path, ...], helper: Session) -> Read:
    """Return a function that reads a file of an image."""

    def read(name: str) -> str:
        with ExitStack() as stack:
            trees = tuple(stack.enter_context(helper.tree(layer)) for layer in layers)
            return helper.call(work.read_text, layers=trees, name=name)

    return read


class _CacheWatch:
    """A check that runs repeatedly during a step: the step ends when its cache mounts are too
    large.
    """

    def __init__(self, measure: Callable[[], int] | None) -> None:
        self._measure, self._next = measure, time.monotonic() + _LOOK
        self.full = False

    def __call__(self) -> bool:
        if self._measure is not None and not self.full and time.monotonic() > self._next:
            self.full = self._measure() > CACHE_LIMIT
            self._next = time.monotonic() + _LOOK
        return self.full


def _file(path: Path, data: bytes, mode: int) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


def _short(of: Instruction) -> str:
    return of.text if len(of.text) < 120 else f"{of.text[:117]}…"
