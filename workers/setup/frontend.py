"""The portal's styles and scripts: packages by npm's lock file, then one build. Skipped while its inputs are what they were."""

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
    """node_modules as the lock says, and static/dist as the sources and templates say; ProcessFailed on trouble."""
    packages = fingerprint(_PACKAGES)
    if not is_done(_MODULES_STAMP, packages):
        with step("Front-end packages") as current:
            run(["npm", "ci", "--no-audit", "--no-fund"], cwd=ROOT, env=environment, timeout=10 * _MINUTES, on_output=current.output)
            mark_done(_MODULES_STAMP, packages)
    inputs = [path for folder in (SOURCE, ROOT / "templates") for path in folder.rglob("*") if path.is_file()]
    wanted = fingerprint([*_PACKAGES, *inputs])
    if not is_done(_BUILD_STAMP, wanted):
        with step("Front-end build") as current:
            run(["npm", "run", "build"], cwd=ROOT, env=environment, timeout=5 * _MINUTES, on_output=current.output)
            mark_done(_BUILD_STAMP, wanted)
