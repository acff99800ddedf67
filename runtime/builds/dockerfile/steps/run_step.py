"""RUN: the key of the step, and what its mounts show."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from runtime.builds.context import BuildContext
from runtime.builds.dockerfile import work
from runtime.builds.dockerfile.accounts import account
from runtime.builds.dockerfile.mounts import Kind, Mount, mounts_of
from runtime.builds.dockerfile.run.container import RunStep
from runtime.builds.dockerfile.run.values import MountContent, Options, Run
from runtime.builds.dockerfile.steps.keys import chain, step_key
from runtime.builds.dockerfile.steps.stage_state import Find, StageState
from runtime.builds.dockerfile.steps.step_layers import StepLayers
from runtime.builds.dockerfile.syntax import Instruction, Words
from runtime.images.manifest import Layer
from runtime.masking import Mask

_LEAST_SECRET = 4  # characters; a shorter secret may be a part of ordinary words


@dataclass(slots=True, kw_only=True)
class RunSteps:
    """The RUN steps of one build."""

    context: BuildContext
    options: Options
    source: Path  # the build context
    layers: StepLayers
    _lent: set[str] = field(
        default_factory=set
    )  # secrets that a step had; short ones too are masked in later lines

    def add(
        self, state: StageState, instruction: Instruction, words: Words, label: str, find: Find
    ) -> None:
        if not state.layers:
            raise instruction.wrong(
                "RUN is not possible: the stage is empty.",
                hint="After FROM scratch, use COPY or ADD first.",
            )
        if (network := instruction.flag("network")) not in (None, "default", "none"):
            raise instruction.wrong(
                f"--network={network} is not supported.", hint="Use default or none."
            )
        if instruction.flag("security") not in (None, "sandbox"):
            raise instruction.wrong("--security=insecure is not supported.", hint="Remove it.")
        mounts = mounts_of(instruction, words, state.config.working_directory)
        lent = {
            number: self._lend(mount, find) for number, mount in enumerate(mounts) if _reads(mount)
        }
        digests = {number: self._digest(lent[number], instruction) for number in lent}
        self._hide_secrets(mounts)
        inputs = {
            "run": instruction.args,
            "exec": instruction.exec_form,
            "heredocs": [asdict(body) for body in instruction.heredocs],
            "shell": state.config.shell,
            "environment": state.values(),
            "user": state.config.user,
            "directory": state.config.working_directory,
            "network": network,
            "mounts": [asdict(mount) for mount in mounts],
            "lent": digests,
        }
        key = step_key("RUN", chain(state.layers), self.context.team, inputs)

        def make(space: Path) -> Layer:
            run = Run(
                of=instruction,
                id=self.context.container_id(self.layers.next_number()),
                place=space,
                config=state.config,
                environment=state.values(),
                layers=self.layers.paths(state),
                source=self.source,
                account=account(state.config.user or "0", self.layers.reader(state), instruction),
                mounts=mounts,
                lent=lent,
            )
            return RunStep(self.context, self.options, run).run(self._masked_log())

        self.layers.add(state, instruction, label, [key], make)

    def _hide_secrets(self, mounts: tuple[Mount, ...]) -> None:
        for mount in mounts:
            if mount.kind is Kind.SECRET and mount.id in self.options.secrets:
                self._lent.add(self.options.secrets[mount.id])

    def _lend(self, mount: Mount, find: Find) -> MountContent:
        """Return the origin of a mount's content: the context, an earlier stage or an image."""
        name = posixpath.normpath(f"/{mount.source}").lstrip(
            "/"
        )  # `..` at the top has no effect, as after chroot(2)
        if not mount.origin:
            return MountContent(layers=(self.source,), name=name, is_context=True)
        return MountContent(
            layers=self.layers.paths(find(mount.origin)), name=name, is_context=False
        )

    def _digest(self, lent: MountContent, instruction: Instruction) -> str:
        with self.layers.opened(lent.layers, is_context=lent.is_context) as tree:
            return self.context.helper.call(
                work.look_up,
                source=tree,
                name=lent.name,
                of=instruction,
                is_context=lent.is_context,
                made_after=self.layers.begin,
            )

    def _masked_log(self) -> Callable[[str], None]:
        """Return a log that masks all config vars, because arguments may contain their values."""
        config_vars = Mask(self.options.secrets.values())
        lent = Mask(self._lent, least=_LEAST_SECRET)
        return lambda line: self.context.log(lent(config_vars(line)))


def _reads(mount: Mount) -> bool:
    """Return whether a mount shows existing content."""
    return mount.kind is Kind.BIND or (mount.kind is Kind.CACHE and bool(mount.origin))
