"""RUN: one container of the team's, with what --mount lends it; its writable layer is the step's."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from runtime import journal
from runtime.builds.allowance import Allowance
from runtime.builds.dockerfile.accounts import account
from runtime.builds.dockerfile.copying import Copying, Item
from runtime.builds.dockerfile.mounts import Kind, Mount
from runtime.builds.dockerfile.settings import command_line
from runtime.builds.dockerfile.syntax import Instruction
from runtime.builds.dockerfile.tree import Tree, is_folder
from runtime.builds.packages import PackageCaches
from runtime.builds.sandbox import WORKSPACE, BuildContainers, run_within
from runtime.config import NodeConfig
from runtime.containers.spec import Bind, ContainerSpec, Limits, Purpose, Temporary
from runtime.errors import BuildFailed, Cancelled
from runtime.images.disk import size_of
from runtime.images.manifest import ImageConfig, Layer
from runtime.images.store import Store
from runtime.quantities import Bytes

CACHE_LIMIT = Bytes(4 << 30)  # of all cache mounts of a team
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SCRIPTS = "/dev/pipes"  # where BuildKit shows a heredoc that is a script
_LOOK = 5.0  # seconds between two looks at the size of a cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Whose build it is, and what it may use."""

    build_id: int
    app: str
    team: int
    limits: Limits
    workspace: Path
    allowance: Allowance
    arguments: Mapping[str, str]  # --build-arg
    secrets: Mapping[str, str]  # by id
    proxies: Mapping[str, str]  # how this host reaches the network: for RUN, never in the image or a key


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One RUN, decided."""

    of: Instruction
    id: str  # of its container
    place: Path  # a folder to work in
    config: ImageConfig
    environment: Mapping[str, str]
    layers: tuple[Path, ...]  # topmost first
    mounts: tuple[Mount, ...]
    lent: Mapping[int, Item]  # number of a bind mount -> what it shows


def script_of(run: Instruction) -> tuple[str, bytes | None]:
    """(shell text, script): a lone heredoc that begins with #! is a program of its own; other heredocs are the shell's."""
    bodies = run.heredocs
    if not bodies:
        return run.args[0], None
    line = run.args[0]
    if len(bodies) == 1 and line.lstrip("0123456789<- \t").strip("'\"") == bodies[0].name and line.lstrip("0123456789").startswith("<<"):
        text = bodies[0].content
        return (f"{_SCRIPTS}/{bodies[0].name}", text.encode()) if text.startswith("#!") else (text, None)
    return f"{line}\n" + "".join(f"{body.content}{body.name}\n" for body in bodies), None


def run_step(
    config: NodeConfig,
    store: Store,
    containers: BuildContainers,
    job: Job,
    run: Run,
    log: Callable[[str], None],
    cancelled: Callable[[], bool],
) -> Layer:
    """The layer of what it changed; BuildFailed names the line, and its own words are in the log by then."""
    with ExitStack() as stack:
        spec, caches = _spec(config, job, run, stack)
        containers.remove(spec.id)  # of a build that was killed
        stack.callback(containers.remove, spec.id)
        watch = _Watch(config.cache / "mounts" / str(job.team) if caches else None, cancelled)
        end = run_within(containers, spec, job.allowance, on_output=lambda _, line: _say(line, log), cancelled=watch)
        if cancelled():
            raise Cancelled("The build was cancelled.")
        if watch.full:
            for folder in caches:
                shutil.rmtree(folder, ignore_errors=True)
            what = f"Dockerfile, line {run.of.line}: the team's cache mounts grew over {CACHE_LIMIT}."
            raise BuildFailed(what, hint="Those of this step were emptied; keep less in them.")
        if job.allowance.is_over():
            raise BuildFailed(f"Dockerfile, line {run.of.line}: `{_short(run.of)}` did not end in time and was stopped.")
        if end.code != 0:
            raise BuildFailed(
                f"Dockerfile, line {run.of.line}: `{_short(run.of)}` failed. {end.explain()}", hint="Its own words are in the build log."
            )
        return store.add_layer(containers.upper(spec.id))


def _spec(config: NodeConfig, job: Job, run: Run, stack: ExitStack) -> tuple[ContainerSpec, list[Path]]:
    who = account(run.config.user or "0", run.layers, run.of)
    binds: list[Bind] = []
    temporaries: list[Temporary] = []
    caches: list[Path] = []
    environment = {"PATH": PATH, "HOME": who.home, **job.proxies, **run.environment}
    text, script = script_of(run.of) if not run.of.exec_form else ("", None)
    command = run.of.args if run.of.exec_form else command_line(run.of, run.config.shell, (text,))
    if script is not None:
        command = (text,)
        binds.append(Bind(source=_file(run.place / "script", script, 0o755), target=text))
    first = ContainerSpec(id="x", app="x", team=job.team, layers=(), command=(), limits=job.limits).first_id
    for number, mount in enumerate(run.mounts):
        place = run.place / f"mount{number}"
        if mount.kind is Kind.TMPFS:
            temporaries.append(Temporary(target=mount.target, size=mount.size))
        elif mount.kind is Kind.SECRET:
            environment |= _secret(job, run.of, mount, place, first, binds)
        elif mount.kind is Kind.CACHE:
            folder = stack.enter_context(_cache(config, job, mount, first, run, number))
            caches.append(folder)
            binds.append(Bind(source=folder, target=mount.target, writable=mount.writable))
        else:
            binds.append(Bind(source=_copied(run.lent[number], place, first, run.of), target=mount.target, writable=mount.writable))
    spec = ContainerSpec(
        id=run.id,
        app=job.app,
        team=job.team,
        layers=run.layers,
        command=command,
        environment=environment,
        working_directory=run.config.working_directory or "/",
        uid=who.uid,
        gid=who.gid,
        groups=who.groups,
        limits=job.limits,
        binds=tuple(binds),
        temporaries=tuple(temporaries),
        own_tmp=False,  # what a step leaves in /tmp is the next one's to find
        networked=run.of.flag("network") != "none",
        purpose=Purpose.BUILD,
        labels={WORKSPACE: job.workspace.name},
    )
    return spec, caches


def _secret(job: Job, of: Instruction, mount: Mount, place: Path, first: int, binds: list[Bind]) -> dict[str, str]:
    value = job.secrets.get(mount.id)
    if value is None:
        if mount.required:
            raise of.wrong(f"The secret {mount.id!r} is required and not set.", hint=f"Set the config var {mount.id} of the app.")
        return {}
    if mount.target:
        path = _file(place, value.encode(), mount.mode)
        os.chown(path, first + mount.uid, first + mount.gid)
        binds.append(Bind(source=path, target=mount.target))
    return {mount.variable: value} if mount.variable else {}


@contextmanager
def _cache(config: NodeConfig, job: Job, mount: Mount, first: int, run: Run, number: int) -> Iterator[Path]:
    """A team's folder that outlives the build, filled at first from what `from` names."""
    name = hashlib.sha256(mount.id.encode()).hexdigest()[:32]
    team = config.cache / "mounts" / str(job.team)
    team.mkdir(mode=0o711, parents=True, exist_ok=True)
    folder = team / name
    caches = PackageCaches(config)
    if not any(earlier.kind is Kind.CACHE for earlier in run.mounts[:number]):
        caches.cut_mounts(job.team, CACHE_LIMIT)
    with ExitStack() as stack:
        stack.enter_context(caches.using(job.team))
        if mount.locked:
            left = max(job.allowance.left(), 1)
            if not stack.enter_context(journal.lock(config.locks / f"mount-{job.team}-{name}", timeout=left)):
                raise BuildFailed(f"Dockerfile, line {run.of.line}: another build held the cache mount {mount.id} all the time.")
        if not folder.exists():
            if number in run.lent:
                _copied(run.lent[number], folder, first, run.of)
            folder.mkdir(exist_ok=True)
            folder.chmod(mount.mode)
            os.chown(folder, first + mount.uid, first + mount.gid)
        os.utime(folder)  # its last use, for whoever collects
        yield folder


def _copied(item: Item, place: Path, first: int, of: Instruction) -> Path:
    """A copy with the ids of the team's namespace, so that owners look right inside and a writing step hurts nobody."""
    source = item.tree.place(item.name)
    if is_folder(source):
        place.mkdir(mode=0o755)
        place.chmod(stat.S_IMODE(source.stat().st_mode))
        target = ""
    else:
        target = place.name
    Copying(root=Tree(root=place if not target else place.parent), owner=None, chmod=None, of=of).put(item, f"/{target}", into_folder=False)
    paths = [place] if not place.is_dir() else [place, *(Path(at, one) for at, dirs, files in os.walk(place) for one in (*dirs, *files))]
    for path in paths:
        status = path.lstat()
        mode = stat.S_IMODE(status.st_mode)
        os.chown(path, first + status.st_uid, first + status.st_gid, follow_symlinks=False)
        if not path.is_symlink():
            path.chmod(mode)
    return place


class _Watch:
    """Asked again and again while a step runs: whether to end it, cancelled or with the team's cache mounts grown too large."""

    def __init__(self, mounts: Path | None, cancelled: Callable[[], bool]) -> None:
        self._mounts, self._cancelled, self._next = mounts, cancelled, time.monotonic() + _LOOK
        self.full = False

    def __call__(self) -> bool:
        if self._mounts is not None and not self.full and time.monotonic() > self._next:
            self.full = size_of(self._mounts) > CACHE_LIMIT
            self._next = time.monotonic() + _LOOK
        return self.full or self._cancelled()


def _file(path: Path, data: bytes, mode: int) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


def _short(of: Instruction) -> str:
    return of.text if len(of.text) < 120 else f"{of.text[:117]}…"


def _say(line: str, log: Callable[[str], None]) -> None:
    if line.strip():
        log(f"    {line}")
