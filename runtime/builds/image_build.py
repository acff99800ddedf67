"""Build one image: unpack, choose the plan or the Dockerfile, make the layers, write the image."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from runtime.builds import authorities
from runtime.builds.base_layers import BaseLayers, ensure_base_layers, extra_layers_of_step
from runtime.builds.context import BuildContext
from runtime.builds.dockerfile import build as dockerfile
from runtime.builds.dockerfile.base_images.bases import substitute
from runtime.builds.dockerfile.base_images.own import own_image, own_name
from runtime.builds.dockerfile.health import health_of
from runtime.builds.dockerfile.run.values import Options
from runtime.builds.dockerfile.syntax import MAX_TEXT
from runtime.builds.egress import check_registry
from runtime.builds.history import complete
from runtime.builds.install_steps import StepRunner
from runtime.builds.languages.detect import DOCKERFILE, LanguageName, Source
from runtime.builds.log_figures import count, seconds, sizes
from runtime.builds.manifest import procfile
from runtime.builds.native.libraries import SharedLibraries
from runtime.builds.plan import BuildPlan, plan
from runtime.builds.requests import BuildRequest, BuiltImage
from runtime.builds.source.checkout import Checkout
from runtime.builds.source.git_fetch import ARCHIVE, OUT, fetch
from runtime.builds.steps import Install
from runtime.config import package_environment
from runtime.containers.command_line import NO_SHELL, words
from runtime.contract.manifest import AppFile
from runtime.contract.quantities import Bytes
from runtime.errors import (
    BadSource,
    ImageDamaged,
    NotAllowed,
    StepFailed,
    TransferFailed,
    Unreachable,
)
from runtime.images.digest import Digest
from runtime.images.exchange.pulls import Pulls
from runtime.images.manifest import ImageConfig, Layer
from runtime.stacks.available import offer
from runtime.stacks.layer_names import layer_names
from runtime.stacks.packages.node_js import node_versions
from runtime.stacks.stack import Runtime


@dataclass(slots=True)
class ImageBuild:
    """One build that runs."""

    context: BuildContext
    pulls: Pulls
    request: BuildRequest
    started: float = 0.0
    app_file: AppFile = field(default_factory=AppFile)
    step_runner: StepRunner = field(init=False)
    _unavailable: dict[str, TransferFailed] = field(default_factory=dict)  # images not to ask again

    def __post_init__(self) -> None:
        self.step_runner = StepRunner(context=self.context)

    def run(self) -> BuiltImage:
        self.started = time.monotonic()
        tree = self._unpack()
        self.app_file = tree.app_file()
        for note in self.app_file.notes:
            self.context.log(note)
        text = self._dockerfile_text(tree)
        if text is not None:
            declared = self._declared(tree)  # its errors are shown before anything is pulled
            registry_bases = dockerfile.foreign_bases(
                text, self._arguments, offer(self.context.config)
            )
            build_plan = self._instead_of_dockerfile(tree, registry_bases)
            if build_plan is None:
                return self._dockerfile(tree, text, declared)
        else:
            build_plan = self._plan(tree.source(self.app_file))
        self._log_plan(build_plan)
        base_layers, layers = self._layers(build_plan, tree)
        return self._image(layers, build_plan, base_layers)

    def _layers(self, build_plan: BuildPlan, tree: Checkout) -> tuple[BaseLayers, list[Layer]]:
        """Make all layers of the plan, bottom first. An earlier stage is built first; its output is
        then the source.
        """
        context = self.context
        if build_plan.earlier is not None:
            _, made = self._layers(build_plan.earlier, tree)
            context.check()
            layer, tree = (
                context.store.unpacked(made[-1]),
                Checkout(context.workspace / "taken", context.helper),
            )
            tree.fill_from_layer(layer, build_plan.takes)
            context.log(f"The image gets only /{build_plan.takes} of that")
        tree.leave_out(build_plan.left_out)
        base_layers = ensure_base_layers(
            context.config, context.store, build_plan, context.log, context.progress
        )
        shared = SharedLibraries(context=context, stack=build_plan.stack, base=base_layers.image)
        layers: list[Layer] = []
        below = list(base_layers.steps)

        def step(install: Install, reads: Path | None) -> None:
            context.check()
            extra = partial(
                extra_layers_of_step,
                context.config,
                context.store,
                stack=build_plan.stack,
                progress=context.progress,
            )
            tools = extra(install.build_runtimes)
            try:
                made = self.step_runner.layer(
                    install, reads, [*below, *tools], lambda: extra(_compilers(install))
                )
            except StepFailed as failure:
                if not install.if_it_fails:
                    raise
                context.log(f"Warning: {install.name}: {failure.last_line} {install.if_it_fails}")
                return
            below.append(made)
            if install.ships:
                layers.append(made)
            if install.compilers:
                below.extend(shared.look(made))

        for install in build_plan.installs:
            if not install.on_code:
                step(install, tree.path)
        context.check()
        if not build_plan.bare:
            layers.append(self._code(tree))
            below.append(layers[-1])
        for install in build_plan.installs:
            if install.on_code:
                step(install, None)
        base_layers = shared.added_to(base_layers)
        return base_layers, [*base_layers.image, *layers]

    def _plan(self, source: Source) -> BuildPlan:
        context = self.context
        source = replace(source, config_vars=self.request.config_vars)
        return plan(source, lambda: node_versions(context.config), offer(context.config).pythons)

    @property
    def _file(self) -> str:
        return self.app_file.building.dockerfile or dockerfile.FILE

    @property
    def _arguments(self) -> Mapping[str, str]:
        return {
            **self.request.config_vars,
            **self.app_file.building.arguments,
            **self.request.arguments,
        }

    def _dockerfile_text(self, tree: Checkout) -> bytes | None:
        """Return the Dockerfile, if the build uses one. BadSource: the file that the manifest names
        is missing.
        """
        builder = self.app_file.building.builder
        if builder not in ("", DOCKERFILE):
            return None
        text = tree.text(self._file, MAX_TEXT + 1)
        if text is None and builder == DOCKERFILE:
            raise BadSource(
                f"{self.app_file.file} requires a Dockerfile at {self._file}, which is not in the"
                " source.",
                hint="Correct build.dockerfile.",
            )
        return text

    def _declared(self, tree: Checkout) -> dict[str, str]:
        """Return the process types that a Dockerfile's source declares. The manifest overrides the
        Procfile.
        """
        text = tree.text("Procfile", MAX_TEXT)
        declared = {} if text is None else procfile.parse(text.decode(errors="replace"))
        return {**declared, **self.app_file.commands}

    def _instead_of_dockerfile(
        self, tree: Checkout, registry_bases: tuple[str, ...]
    ) -> BuildPlan | None:
        """Return a plan without the Dockerfile if its base is not available and the other files
        suffice.
        """
        if self.app_file.building.builder:
            return None
        try:
            for name in registry_bases:
                self._pull_or_substitute(name)
        except (Unreachable, NotAllowed) as failure:
            self.context.budget.check()
            found = tree.source(self.app_file)
            try:
                build_plan = self._plan(replace(found, files=found.files - {dockerfile.FILE}))
            except BadSource:
                return None
            if (
                build_plan.detected.language is LanguageName.PLAIN
            ):  # a Procfile names commands, but no way to build
                return None
            self.context.log(
                f"The Dockerfile starts with {', '.join(registry_bases)}. {failure.what} The build"
                " uses the other files."
            )
            return build_plan
        except (TransferFailed, ImageDamaged):
            return None  # the build itself reports the line with the error
        return None

    @property
    def _substitutes(self) -> bool:
        return self.request.substitutes or self.context.config.substitutes

    def _pull_or_substitute(self, name: str) -> None:
        """Pull an image, unless a stack may be used instead."""
        try:
            self._pull(name)
        except (Unreachable, NotAllowed):
            if not (self._substitutes and substitute(name, offer(self.context.config))):
                raise

    def _pull(self, name: str) -> Digest:
        if name in self._unavailable:
            raise self._unavailable[name]
        try:
            return self._pulled(name)
        except (Unreachable, NotAllowed) as failure:
            self._unavailable[name] = failure
            raise

    def _pulled(self, name: str) -> Digest:
        context = self.context
        if (own := self.request.own_images) and (known := own_name(own, name)):
            return own_image(context, own, known)
        if self.request.team_limits is not None:
            check_registry(self.request.team_limits.network, name)
        return self.pulls.find(
            name,
            context.log,
            deadline=time.monotonic() + context.budget.left(),
            team=self.request.team,
        )

    def _dockerfile(self, tree: Checkout, text: bytes, declared: Mapping[str, str]) -> BuiltImage:
        """Build with the source's own Dockerfile; see runtime.builds.dockerfile."""
        self.context.log("Detected: Dockerfile")
        self.context.apply_team_limits()
        options = Options(
            arguments=self._arguments,
            secrets=self.request.config_vars,
            proxies=dockerfile.proxies(),
            authorities=authorities.extended_bundle(package_environment()),
        )
        made = dockerfile.build(
            self.context,
            tree.path,
            text,
            options,
            resolve=self._pull,
            substitutes=self._substitutes,
            declared=declared,
        )
        return self._finish(made.layers, dockerfile.labelled(made), made.processes)

    def _unpack(self) -> Checkout:
        tree = Checkout(self.context.workspace / "source", self.context.helper)
        archive, filename = self.request.archive, self.request.filename
        if address := self.request.repository:
            fetched = fetch(self.context, address, number=0, packed=True)
            if self.request.on_commit is not None:
                self.request.on_commit(fetched.commit, fetched.author)
            archive, filename = fetched.tree / OUT / ARCHIVE, ARCHIVE
        done = tree.unpack(archive, filename)
        unwrapped = f", without its top folder {done.unwrapped}" if done.unwrapped else ""
        self.context.log(
            f"Source: {count(done.files, 'file')}, {Bytes(done.size)}, from"
            f" {address or filename}{unwrapped}"
        )
        if done.left_out:
            self.context.log(done.left_out)
        return tree

    def _log_plan(self, build_plan: BuildPlan) -> None:
        self.context.log(
            f"Detected: {build_plan.detected.language}, by {build_plan.detected.because}"
        )
        for note in build_plan.notes:
            self.context.log(note)

    def _code(self, tree: Checkout) -> Layer:
        started = time.monotonic()
        place = tree.become_layer(self.context.workspace / f"code{self.step_runner.steps}")
        layer = self.context.store.add_layer(place, move=True, team=self.request.team)
        self.step_runner.descriptions[layer.diff_id] = "App code"
        self.context.log(
            f"App code: {Bytes(layer.size)} in {seconds(started)}, layer {layer.digest.short}"
        )
        return layer

    def _image(
        self, layers: list[Layer], build_plan: BuildPlan, base_layers: BaseLayers
    ) -> BuiltImage:
        processes = dict(build_plan.processes)
        web = processes.get("web")
        config = ImageConfig(
            environment={**base_layers.environment, **build_plan.environment},
            working_directory="/app",
            user="1000:1000",
            command=() if not web else words(web) if build_plan.bare else ("/bin/bash", "-c", web),
            labels={
                "slipway.language": build_plan.detected.language.value,
                "slipway.processes": json.dumps(processes, sort_keys=True),
                **({NO_SHELL: "true"} if build_plan.bare else {}),
                **base_layers.labels,
            },
        )
        return self._finish(
            layers,
            complete(
                config,
                layers,
                {**layer_names(self.context.config), **self.step_runner.descriptions},
            ),
            processes,
        )

    def _finish(
        self, layers: list[Layer], config: ImageConfig, processes: dict[str, str]
    ) -> BuiltImage:
        context = self.context
        digest = context.store.write_image(layers, config)
        context.store.tag(f"{self.request.app}:build-{self.request.build_id}", digest)
        context.log(f"Processes: {', '.join(processes)}")
        for name in sorted(self.app_file.processes.keys() - processes.keys()):
            context.log(
                f"Warning: {self.app_file.file} configures process type {name}, but no command is"
                " defined for it."
            )
        context.log(
            f"Image: {digest.short}, {sizes(layers)} in {count(len(layers), 'layer')}, built in"
            f" {seconds(self.started)}"
        )
        return BuiltImage(
            digest=digest,
            processes=processes,
            app_file=self.app_file.covering(processes),
            health=health_of(config),
        )


def _compilers(install: Install) -> tuple[Runtime, ...]:
    """Return what a second attempt of a step has that the first one had not."""
    return tuple(runtime for runtime in install.compilers if runtime not in install.build_runtimes)
