"""The progress of one deploy: the steps of its build, then of its release's rollout."""

from __future__ import annotations

from dataclasses import dataclass

from portal.apps.access import url_of
from portal.builds import queue_order
from portal.builds.models import Build, BuildState
from portal.deploys.access import rollout_of
from portal.releases.models import Rollout, RolloutState
from portal.releases.timeline import TimelineStep, moments_of, steps_of


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployProgress:
    """The progress of a deploy. `state` is the build's state until there is a rollout, then the
    rollout's state."""

    build: Build
    rollout: Rollout | None
    state: str
    sentence: str
    reason: str
    steps: list[TimelineStep]
    is_over: bool
    url: str


def progress_of(build: Build) -> DeployProgress:
    """Return the current progress."""
    rollout = rollout_of(build)
    return DeployProgress(
        build=build,
        rollout=rollout,
        state=rollout.state if rollout else build.state,
        sentence=_sentence(build, rollout),
        reason=(
            rollout.reason if rollout and RolloutState(rollout.state).has_failed else build.reason
        ),
        steps=_steps(build, rollout),
        is_over=RolloutState(rollout.state).is_over if rollout else BuildState(build.state).is_over,
        url=url_of(build.app),
    )


def _sentence(build: Build, rollout: Rollout | None) -> str:
    if rollout is not None:
        name = f"v{rollout.release.number}"
        return {
            RolloutState.PENDING: f"{name} is built and its rollout is queued.",
            RolloutState.RELEASING: f"{name} runs its release phase.",
            RolloutState.LAUNCHING: f"{name} is starting. It receives traffic when it is healthy.",
            RolloutState.LIVE: f"{name} went live.",
            RolloutState.FAILED: f"{name} did not go live.{_still_serving(build)}",
            RolloutState.ROLLED_BACK: (
                f"{name} received part of the traffic and was rolled back"
                f" automatically.{_still_serving(build)}"
            ),
            RolloutState.SUPERSEDED: f"{name} was superseded by a newer release.",
        }[RolloutState(rollout.state)]
    return {
        BuildState.QUEUED: _place(build),
        BuildState.BUILDING: f"Building {build.description}.",
        BuildState.SUCCEEDED: "Built, but a later deploy was released first.",
        BuildState.FAILED: f"The build failed.{_still_serving(build)}",
        BuildState.CANCELLED: "The build was cancelled.",
    }[BuildState(build.state)]


def _place(build: Build) -> str:
    position = queue_order.position_of(build)
    return queue_order.words_of(position) if position else "Waiting for a build slot."


def _still_serving(build: Build) -> str:
    return (
        f" v{build.app.current_release.number} still serves the traffic."
        if build.app.current_release
        else ""
    )


def _steps(build: Build, rollout: Rollout | None) -> list[TimelineStep]:
    moments = [("Received", build.created_at)]
    if build.started_at is not None:
        moments.append(("Build started", build.started_at))
    if build.finished_at is not None:
        words = {
            BuildState.SUCCEEDED: "Image built",
            BuildState.FAILED: "Build failed",
            BuildState.CANCELLED: "Cancelled",
        }
        moments.append((words.get(BuildState(build.state), "Build ended"), build.finished_at))
    if rollout is not None:
        moments += moments_of(rollout)
    return steps_of(moments)
