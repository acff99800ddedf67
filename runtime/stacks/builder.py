"""Build stacks and language runtimes on first use.

They are stored by the content of their definition, in several versions.
This is trusted work of the platform: mmdebstrap, apt and npm run on the host, as root, with the
host's own settings.
No content of a team is ever built here. If two builds need the same stack at once, one builds it
and the other waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from runtime import cancellation, journal
from runtime.config import NodeConfig
from runtime.contract.quantities import Bytes
from runtime.errors import BadStack
from runtime.images.exchange.registry_reference import Registries, RemoteName
from runtime.images.exchange.transfer import Access, Transfer
from runtime.images.manifest import HistoryStep, ImageConfig, Layer
from runtime.images.scratch import scratch
from runtime.images.store import Image, Store
from runtime.stacks import bare
from runtime.stacks.available import offer
from runtime.stacks.bootstrap import (
    EPOCH,
    PATH,
    Progress,
    add_app_user,
    bootstrap,
    trust_bytecode,
    write_files,
)
from runtime.stacks.definition import DEBIAN_13, PYTHON, PYTHON_DEFAULT
from runtime.stacks.difference import forget_times, subtract
from runtime.stacks.flatten import flatten
from runtime.stacks.foundation import Foundation
from runtime.stacks.packages.node_js import unpack_node
from runtime.stacks.packages.npm_registry import unpack_manager
from runtime.stacks.packages.package_manager import PackageManager
from runtime.stacks.stack import Bare, DebianRuntime, NodeRuntime, Runtime, Stack
from runtime.stacks.static import STATIC
from runtime.stacks.versions import Version, identity_of, newest, record, versions

_POLL_SECONDS = 0.2  # seconds between two attempts to lock a stack that another process builds


def ensure_stack(
    config: NodeConfig, store: Store, name: str = DEBIAN_13.name, progress: Progress = print
) -> Image:
    """Return the stack's newest version as an image of the store, and build it if it is missing.

    BadSource: unknown stack.
    """
    version, layer = _stack(config, store, offer(config).stack(name), progress)
    foundation = Foundation(stack=name, runtimes=(), layers=1)
    settings = ImageConfig(
        environment={**PATH, **version.environment},
        user="0:0",
        labels=foundation.label(),
        history=(HistoryStep(created_by=name),),
    )
    digest = store.write_image([layer], settings)
    store.tag(f"stack/{name}", digest)
    return store.image(digest)


def ensure_runtime(
    config: NodeConfig,
    store: Store,
    runtime: Runtime | None,
    stack: Stack,
    progress: Progress = print,
    before_new: Callable[[], None] = lambda: None,
) -> list[Layer]:
    """Return the layers of a stack with a language runtime on it (or none), bottom first.

    Build missing layers. `before_new` is called before the runtime's layer is built.
    The packages are those of `stack`, also if the runtime was defined on another stack.
    BadStack: the stack is an image, to which no packages can be added.
    """
    current = offer(config).stack(stack.name)
    version, layer = _stack(config, store, current, progress)
    if runtime is None or (isinstance(runtime, DebianRuntime) and not runtime.packages):
        return [layer]
    on_it = replace(runtime, stack=current) if isinstance(runtime, DebianRuntime) else runtime
    return [layer, _runtime(config, store, on_it, version, progress, before_new)]


def ensure_bare(
    config: NodeConfig, store: Store, stack: Stack, progress: Progress = print
) -> Layer:
    """Return the only layer below programs without libraries (Go's).

    It is made from the stack's newest version, so its certificates are new, too.
    """
    current = offer(config).stack(stack.name)
    version, below = _stack(config, store, current, progress)

    def build(tree: Path) -> Mapping[str, str]:
        bare.fill(store.unpacked(below), tree)
        return {}

    definition = Bare(stack=current)
    return _kept(
        config, store, definition, identity_of(definition, version.diff_id), progress, build
    )[1]


def ensure_platform_images(config: NodeConfig, progress: Progress = print) -> None:
    """Make the images that nearly every first deploy needs: the base stack, its Python, and the
    static file server.
    """
    store = Store(config)
    ensure_stack(config, store, progress=progress)
    for runtime in (PYTHON[PYTHON_DEFAULT], STATIC):
        ensure_runtime(config, store, runtime, runtime.stack, progress)


def rebuild(
    config: NodeConfig, store: Store, name: str, progress: Progress = print
) -> tuple[Version, bool]:
    """Build a stack from today's packages (or image), and the languages in use on it.

    Return the version, and whether it is new. The old version remains for the apps that use it.
    BadSource: no stack has that name.
    """
    offered = offer(config)
    stack = offered.stack(name)
    identity = identity_of(stack)
    before = newest(config, store, identity)
    version, _ = _kept(
        config,
        store,
        stack,
        identity,
        progress,
        lambda tree: _build_stack(config, store, stack, tree, progress),
        force=True,
    )
    used = (
        {recorded_version.name for recorded_version in versions(config)}
        if before is None
        else _languages_on(config, before[0])
    )
    for language in offered.languages.values():
        if language.stack.name == name and language.name in used and language.packages:
            _runtime(config, store, offered.current(language), version, progress)
    return version, before is None or before[0].diff_id != version.diff_id


def _stack(
    config: NodeConfig, store: Store, stack: Stack, progress: Progress
) -> tuple[Version, Layer]:
    return _kept(
        config,
        store,
        stack,
        identity_of(stack),
        progress,
        lambda tree: _build_stack(config, store, stack, tree, progress),
    )


def _runtime(
    config: NodeConfig,
    store: Store,
    runtime: Runtime,
    on: Version,
    progress: Progress,
    before_new: Callable[[], None] = lambda: None,
) -> Layer:
    """Return the layer of a language on a version of a stack."""

    def build(tree: Path) -> Mapping[str, str]:
        before_new()
        if isinstance(runtime, NodeRuntime):
            unpack_node(runtime, tree)
        elif isinstance(runtime, PackageManager):
            unpack_manager(runtime, tree)
        else:
            _install(config, store, runtime, on, tree, progress)
        return {}

    identity = identity_of(runtime, on.diff_id if isinstance(runtime, DebianRuntime) else None)
    return _kept(config, store, runtime, identity, progress, build)[1]


def _languages_on(config: NodeConfig, version: Version) -> set[str]:
    """Return the names of the languages that were built for a version of a stack."""
    recorded, offered = (
        {recorded_version.identity for recorded_version in versions(config)},
        offer(config),
    )
    return {
        language.name
        for language in offered.languages.values()
        if identity_of(offered.current(language), version.diff_id) in recorded
    }


def _kept(
    config: NodeConfig,
    store: Store,
    definition: Stack | Runtime | Bare,
    identity: str,
    progress: Progress,
    build: Callable[[Path], Mapping[str, str]],
    *,
    force: bool = False,
) -> tuple[Version, Layer]:
    """Return the newest version.

    If there is none (or with `force`), build it in a temporary folder, and record it.
    """
    if not force and (found := newest(config, store, identity)):
        return found
    with _turn(config.locks / f"stack-{identity[:16]}"):
        if not force and (
            found := newest(config, store, identity)
        ):  # built by another process in the meantime
            return found
        started, moment = time.monotonic(), time.time()
        progress(f"Building {definition.name}: once, for all apps of this machine")
        config.workspaces.mkdir(parents=True, exist_ok=True)
        with store.lease(), scratch(config.workspaces) as space:
            tree = space / "tree"
            environment = build(tree)
            forget_times(tree, after=moment - 1, instead=EPOCH)
            layer = store.add_layer(tree, move=True)
            version = record(config, definition.name, identity, layer, environment, now=moment)
        progress(
            f"Built {definition.name} in {time.monotonic() - started:.1f} s: {Bytes(layer.size)},"
            f" {layer.digest.short}"
        )
        return version, layer


@contextmanager
def _turn(lock: Path) -> Iterator[None]:
    """Hold a lock. A caller that waits may be cancelled in the meantime."""
    while True:
        with journal.lock(lock, timeout=_POLL_SECONDS) as held:
            if held:
                yield
                return
        cancellation.check()


def _build_stack(
    config: NodeConfig, store: Store, stack: Stack, tree: Path, progress: Progress
) -> Mapping[str, str]:
    """Build a stack's tree, and return the variables that an image of a registry sets."""
    environment: Mapping[str, str] = {}
    if stack.image:
        image = _pull(config, store, stack, progress)
        flatten(image.layers, tree.parent, tree)
        environment = image.config.environment
        add_app_user(tree)
    else:
        bootstrap(config, stack, (), tree, progress)
    write_files(stack.files, (), tree)
    return environment


def _pull(config: NodeConfig, store: Store, stack: Stack, progress: Progress) -> Image:
    """Pull the image that a stack is made from. It is removed again when no other image uses it."""
    try:
        name = RemoteName.parse(stack.image)
    except ValueError as error:
        raise BadStack(
            f"{stack.name}.toml: from is not valid: {error}.",
            hint="Write the image as HOST/NAME:TAG.",
        ) from None
    registries = Registries.of(config)
    asked = registries.pull_name(name)
    progress(f"    pulling {asked}")
    transfer = Transfer(config, store, time_limit=config.pull_timeout, progress=progress)
    return store.image(
        transfer.import_from(
            f"docker://{asked}", Access(plain_http=registries.is_plain(asked))
        ).digest
    )


def _install(
    config: NodeConfig,
    store: Store,
    runtime: DebianRuntime,
    on: Version,
    tree: Path,
    progress: Progress,
) -> None:
    """Make the tree of the files that a language's packages add to a version of its stack."""
    if runtime.stack.image:
        raise BadStack(
            f"{runtime.name} consists of Debian packages, which cannot be added to"
            f" {runtime.stack.name}, an image of a registry.",
            hint=(
                f"Create {runtime.stack.name} from an image that contains it, or from Debian"
                " packages."
            ),
        )
    layer = store.layer(on.diff_id)
    assert layer is not None  # found or built just now, and marked
    base = store.unpacked(layer)
    bootstrap(config, runtime.stack, runtime.packages, tree, progress, runtime.commands)
    write_files((*runtime.stack.files, *runtime.files), runtime.links, tree)
    trust_bytecode(tree)
    subtract(base, tree)
