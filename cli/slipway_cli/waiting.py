"""Follow a build and its rollout until they end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from slipway_cli.errors import CommandFailed
from slipway_cli.output import Output

if TYPE_CHECKING:  # its HTTP client is slow to import
    from slipway_cli.portal import Portal

_INTERVAL = 0.5  # seconds between two looks at a rollout
_OVER = {"live", "failed", "rolled_back", "superseded"}


def follow_build(portal: Portal, app: str, build: int, output: Output) -> dict[str, Any]:
    """Print a build's log until it ends. Return the build. Raise CommandFailed if it failed."""
    for line in portal.lines(f"{app}/builds/{build}/log", follow=True):
        output.line(line)
    ended: dict[str, Any] = portal.get(f"{app}/builds/{build}")
    if ended["state"] != "succeeded":
        reason = ended["reason"] or f"it was {ended['state']}"
        raise CommandFailed(
            f"Build {build} did not succeed: {reason}",
            hint=f"`slipway builds log {build}` shows its log.",
        )
    return ended


def follow_rollout(portal: Portal, app: str, release: int, output: Output) -> dict[str, Any]:
    """Print a rollout's steps until it ends. Return it. Raise CommandFailed if it failed.

    A release can have several rollouts; the newest one counts.
    """
    printed = 0
    while True:
        rollout: dict[str, Any] | None = next(
            (item for item in portal.get(f"{app}/rollouts") if item["release"] == release), None
        )
        if rollout is not None:
            for step in rollout["steps"][printed:]:
                output.say(step["text"])
            printed = len(rollout["steps"])
            if rollout["state"] in _OVER:
                break
        time.sleep(_INTERVAL)
    if rollout["state"] != "live":
        raise CommandFailed(
            f"v{release} is not live: {rollout['reason'] or rollout['state']}",
            hint="`slipway logs` shows the app's output. The release before it still serves.",
        )
    return rollout


def follow_deploy(portal: Portal, app: str, build: int, output: Output) -> dict[str, Any]:
    """Follow a build and its rollout. Return {"build", "rollout", "app"} as the API has them."""
    ended = follow_build(portal, app, build, output)
    release = ended["release"]
    rollout = follow_rollout(portal, app, release, output) if release is not None else None
    shown = portal.get(app)
    output.say(f"v{release} is live at {shown['url']}" if release else "The image is built.")
    return {"build": ended, "rollout": rollout, "app": shown}
