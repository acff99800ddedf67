"""Plan the build of a source that only has a Procfile: its commands run on the stack. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.builds.languages.language import USUAL_PATH, Inputs, Language, Runtimes


class Plain(Language):
    def runtime(self, inputs: Inputs) -> Runtimes:
        return Runtimes(main=None, words="")

    def processes(self, inputs: Inputs) -> tuple[Mapping[str, str], tuple[str, ...]]:
        return inputs.commands, ()

    def environment(self, inputs: Inputs) -> dict[str, str]:
        return {"PATH": f"/app/bin:{USUAL_PATH}"}
