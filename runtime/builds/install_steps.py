"""Make layers of the install steps of a build: from the cache, or in a build container of the
team.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from runtime.builds.context import BuildContext
from runtime.builds.egress import egress_digest
from runtime.builds.native import failures
from runtime.builds.packages import causes
from runtime.builds.packages.cache import keeps
from runtime.builds.packages.sources import ToolSettings, surroundings
from runtime.builds.sandbox import InstallRun, run_install
from runtime.builds.source.checkout import Checkout
from runtime.builds.steps import Install, step_key
from runtime.builds.variables import seen_by
from runtime.confined import answers
from runtime.containers.container import Usage
from runtime.contract.quantities import Bytes
from runtime.errors import CacheTooLarge, StepFailed
from runtime.images.digest import Digest, chain_id
from runtime.images.manifest import Layer
from runtime.kernel import MountFlag
from runtime.team_ids import first_id_of

_QUIET = MountFlag.READ_ONLY | MountFlag.NO_SETUID | MountFlag.NO_DEVICES


@dataclass(slots=True, kw_only=True)
class StepRunner:
    """The runner of the install steps of one build."""

    context: BuildContext
    steps: int = 0  # number of steps that were started
    was_limited: bool = False  # a limit of the team may have changed the last step's result
    descriptions: dict[Digest, str] = field(
        default_factory=dict
    )  # what made each layer, by diff ID

    def layer(
        self,
        install: Install,
        tree: Path | None,
        below: list[Layer],
        compilers: Callable[[], Sequence[Layer]] = tuple,
    ) -> Layer:
        """Return the layer of a step on top of `below`, bottom first.

        Without a `tree`, the code is already in `below`. BuildFailed names the fault.
        `compilers` gives the layers for a second attempt, if a package has to be compiled.
        """
        context = self.context
        self.steps += 1
        place = context.workspace / f"step{self.steps}"
        place.mkdir(mode=0o711)
        around = surroundings(install.tool, place)
        contents: Mapping[str, bytes] = {} if tree is None else self._contents(install, tree)
        parent = chain_id([layer.diff_id for layer in below])
        seen = seen_by(install, contents, context.config_vars)
        key = step_key(
            install, parent, contents, around.identity, egress=egress_digest(context.team_limits)
        )
        own_key = step_key(
            install, parent, contents, around.identity, team=context.team, variables=seen
        )
        keys = (own_key,) if install.reads_all or seen else (key, own_key)
        with context.cache.key_lock(keys[0], context.budget):
            if layer := next(
                (found for candidate in keys if (found := context.cache.find(candidate))), None
            ):
                self.descriptions[layer.diff_id] = install.describe()
                context.log(
                    f"{install.name}: cached, reused layer {layer.digest.short} (same"
                    f" {install.reads()}), {Bytes(layer.size)}"
                )
                return layer
            started = time.monotonic()
            context.log(f"{install.name}: `{install.shown}` for {install.reads()}")
            if seen:
                context.log(f"{install.name}: sees {_listed(seen)}")
            inputs = (
                tree
                if tree is not None and install.reads_all
                else _written(place / "inputs", contents)
            )
            paths = tuple(context.store.unpacked(layer) for layer in reversed(below))
            shared = (
                not install.reads_all
                and not seen
                and not (keeps(install.tool) and context.packages.has(context.team))
            )
            self.was_limited = False
            with self._shown(inputs, place / "shown") as shown:
                made = self._compiled(
                    install,
                    place,
                    compilers,
                    alone=shared,
                    layers=paths,
                    inputs=shown,
                    around=around,
                    variables=seen,
                )
            layer = context.store.add_layer(made, move=True, team=context.team)
            if shared and self.was_limited:
                context.log(
                    f"{install.name}: only this team uses the layer again, because a process"
                    " reached a limit of memory or processes"
                )
            is_for_all = shared and not self.was_limited
            context.cache.keep(key if is_for_all else own_key, layer, install)
            self.descriptions[layer.diff_id] = install.describe()
            context.log(
                f"{install.name}: installed in {time.monotonic() - started:.1f} s,"
                f" {Bytes(layer.size)}, layer {layer.digest.short}"
            )
            return layer

    @contextmanager
    def _shown(self, inputs: Path, place: Path) -> Iterator[Path]:
        """Yield a second mount of the inputs with the owners that they have on disk.

        Inside the container, root owns a file that only its owner may read.
        """
        kernel = self.context.kernel
        place.mkdir()
        mount = kernel.clone_tree(inputs, idmap=self.context.helper.ids, flags=_QUIET)
        try:
            kernel.attach(mount, place)
        finally:
            os.close(mount)
        try:
            yield place
        finally:
            kernel.unmount(place, lazily=True)

    def _contents(self, install: Install, tree: Path) -> Mapping[str, bytes]:
        """Return the part of the source that decides the step's key: the files that it reads, or a
        digest of each file.
        """
        source = Checkout(tree, self.context.helper)
        return source.digests() if install.reads_all else source.read_files(install.files)

    def _compiled(
        self,
        install: Install,
        place: Path,
        compilers: Callable[[], Sequence[Layer]],
        *,
        alone: bool,
        layers: tuple[Path, ...],
        inputs: Path,
        around: ToolSettings,
        variables: Mapping[str, str],
    ) -> Path:
        """Run the step, and again with compilers if a package failed that has to be compiled.

        Most packages have wheels, so a build without compilers is tried first: it needs no further
        layer, and its result can be shared by all apps as before.
        """
        context = self.context
        run = partial(
            self._run, install, alone=alone, inputs=inputs, around=around, variables=variables
        )
        try:
            return run(place, layers=layers)
        except StepFailed as failure:
            more = compilers() if failures.is_compilation(failure.output) else ()
            if not more:
                raise _named(install, failure) from None
        context.budget.check()
        context.log(
            f"{install.name}: a package has to be compiled, so the step runs again with compilers"
            " and headers, which are not part of the image"
        )
        self.steps += 1
        second = context.workspace / f"step{self.steps}"
        second.mkdir(mode=0o711)
        above = tuple(context.store.unpacked(layer) for layer in reversed(more))
        try:
            return run(second, layers=(*above, *layers))
        except StepFailed as failure:
            raise _named(install, failure) from None

    def _run(
        self,
        install: Install,
        place: Path,
        *,
        alone: bool,
        layers: tuple[Path, ...],
        inputs: Path,
        around: ToolSettings,
        variables: Mapping[str, str],
    ) -> Path:
        """Run the step in its container with the team's package cache.

        Without the cache if that becomes too large.
        """
        context = self.context
        context.apply_team_limits()
        texts = _written(place / "texts", {name: text.encode() for name, text in install.texts})
        run = InstallRun(
            install=install,
            id=context.container_id(self.steps),
            layers=layers,
            inputs=inputs,
            texts=texts,
            around=around,
            variables=variables,
        )
        if not keeps(install.tool):
            return run_install(context, run, on_usage=self._note_limits)
        try:
            with context.packages.lent(
                context.team, first_id_of(context.team), place, alone=alone
            ) as lent:
                return run_install(context, run, lent, on_usage=self._note_limits)
        except CacheTooLarge as too_large:
            context.log(f"{too_large.what} The step runs again without it.")
            return run_install(context, run, on_usage=self._note_limits)

    def _note_limits(self, used: Usage | None) -> None:
        """Record if the kernel killed or refused a process of the step, or if that is not known."""
        if used is None or used.oom_kills or used.refused_processes:
            self.was_limited = True


def _named(install: Install, failure: StepFailed) -> StepFailed:
    """Return the failure with its cause, if the output shows it: a missing header or program, a
    host that cannot be reached, or a question.
    """
    if reason := causes.explain(failure.output):
        return StepFailed(f"{install.name}: {reason.what}", hint=reason.hint, output=failure.output)
    cause = failures.explain(failure.output) if failures.is_compilation(failure.output) else ""
    if not cause:
        return failure
    return StepFailed(
        f"{install.name}: {cause}",
        hint=(
            "Use a version of the package with a wheel for this Python, or a Dockerfile that"
            " installs what is missing."
        ),
        output=failure.output,
    )


def _listed(names: Collection[str]) -> str:
    """Return the names of config vars for the log, never their values."""
    noun = "the config var" if len(names) == 1 else "the config vars"
    return f"{noun} {', '.join(sorted(names))}"


def _written(folder: Path, contents: Mapping[str, bytes]) -> Path:
    """Make a folder with exactly these files. A name never leads out of the folder."""
    answers.paths(contents)
    folder.mkdir(mode=0o755)
    for name, data in contents.items():
        path = folder / name
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o644)
    return folder
