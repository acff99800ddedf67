"""The build of the portal's styles and scripts: packages by npm's lock file, then one build.

It is skipped while its inputs have not changed.
"""

from __future__ import annotations

from collections.abc import Mapping

from runtime.process import run
from workers.setup.steps import step
from workers.setup.tree import ROOT, fingerprint, is_done, mark_done

SOURCE = ROOT / "platform" / "portal" / "static" / "src"
BUILT = ROOT / "platform" / "portal" / "static" / "dist"
_PACKAGES = (ROOT / "package.json", ROOT / "package-lock.json")
_MODULES_STAMP = ROOT / "node_modules" / ".slipway-lock"
_BUILD_STAMP = BUILT / ".slipway-build"
_MINUTES = 60.0


def ensure_front_end(environment: Mapping[str, str]) -> None:
    """Update node_modules from the lock file, and static/dist from the sources and templates.

    Raises ProcessFailed if a program fails.
    """
    packages = fingerprint(_PACKAGES)
    if not is_done(_MODULES_STAMP, packages):
        with step("Front-end packages") as current:
            run(
                ["npm", "ci", "--no-audit", "--no-fund"],
                cwd=ROOT,
                env=environment,
                timeout=10 * _MINUTES,
                on_output=current.output,
            )
            mark_done(_MODULES_STAMP, packages)
    inputs = [
        path
        for folder in (SOURCE, ROOT / "templates")
        for path in folder.rglob("*")
        if path.is_file()
    ]
    wanted = fingerprint([*_PACKAGES, *inputs])
    if not is_done(_BUILD_STAMP, wanted):
        with step("Front-end build") as current:
            run(
                ["npm", "run", "build"],
                cwd=ROOT,
                env=environment,
                timeout=5 * _MINUTES,
                on_output=current.output,
            )
            mark_done(_BUILD_STAMP, wanted)
