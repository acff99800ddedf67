"""The execution of a plan's actions, in order.

It decides nothing, and may be killed between any two effects.

State is saved before the effect that it describes, so that the next run knows what was intended.
Consecutive starts run in parallel, and so do consecutive stops.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Protocol, TypeVar

from runtime.containers.container import Container
from runtime.containers.spec import ContainerSpec, Limits, TeamLimits
from runtime.converge import app_state, container_spec
from runtime.converge.actions import (
    Action,
    CreateInstance,
    FreezeInstance,
    RecordCrash,
    RemoveRoutes,
    ReturnToRotation,
    SetLimits,
    SetRoutes,
    StartInstance,
    StopInstance,
    TakeOutOfRotation,
    ThawInstance,
)
from runtime.converge.app_state import AppState
from runtime.converge.desired import DesiredApp
from runtime.converge.mounting import VolumesToMount, with_volumes
from runtime.converge.observed import limits_text
from runtime.errors import RuntimeFailure
from runtime.images.store import Image
from runtime.router.routes import AppRoutes

SIDE_BY_SIDE = 4
GRACE_SECONDS = 10.0
Item = TypeVar("Item")


class ContainersToChange(Protocol):
    """The methods of `runtime.containers.lifecycle.Containers` that `Applier` uses."""

    def launch(self, spec: ContainerSpec) -> Container: ...
    def create(self, spec: ContainerSpec) -> Container: ...
    def freeze(self, id: str, *, frozen: bool = True) -> None: ...
    def reclaim(self, id: str) -> None: ...
    def stop(self, id: str, grace: float = 10) -> None: ...
    def remove(self, id: str) -> None: ...
    def set_limits(self, id: str, limits: Limits) -> None: ...
    def set_team_limits(self, team: int, limits: TeamLimits) -> None: ...


class RouterToChange(Protocol):
    """The methods of `runtime.router.router.Router` that `Applier` uses."""

    def set(self, routes: AppRoutes) -> None: ...
    def remove(self, app: str) -> None: ...


class ImagesToRun(Protocol):
    """The method of `runtime.images.store.Store` that `Applier` uses."""

    def image(self, digest: str) -> Image: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Applier:
    """The dependencies of applying a plan; tests pass others."""

    containers: ContainersToChange
    router: RouterToChange
    images: ImagesToRun
    volumes: VolumesToMount
    before_removal: Callable[[str], None]  # called last, to read the rest of the instance's output
    new_suffix: Callable[[], str]
    clock: Callable[[], float]
    say: Callable[[str, str], None]  # write a sentence into the app's log: (app, sentence)

    def apply(
        self,
        desired: DesiredApp,
        actions: Iterable[Action],
        path: Path,
        *,
        present: Collection[str],
    ) -> None:
        """Execute all `actions` for one app. The caller holds the app's lock.

        The app's state is stored at `path`; `present` are its instances.
        """
        state = app_state.load(path).of(present)
        for kind, alike in groupby(actions, key=_kind):
            batch = list(alike)
            updated = state
            for action in batch:
                updated = updated.noting(action)
            if updated != state:
                app_state.save(path, updated)
            state = self._do(kind, desired, batch, updated)
            if state != updated:
                app_state.save(path, state)

    def _do(self, kind: str, desired: DesiredApp, batch: list[Action], state: AppState) -> AppState:
        if kind == "start":
            return self._start(
                desired,
                [action for action in batch if isinstance(action, (StartInstance, CreateInstance))],
                state,
            )
        if kind == "end":
            return self._end(
                desired,
                [action for action in batch if isinstance(action, (StopInstance, RecordCrash))],
                state,
            )
        for action in batch:
            match action:
                case SetRoutes():
                    self.router.set(action.routes)
                case RemoveRoutes():
                    self.router.remove(action.app)
                case FreezeInstance() | ThawInstance():
                    self.containers.freeze(
                        action.instance, frozen=isinstance(action, FreezeInstance)
                    )
                    if isinstance(action, FreezeInstance):
                        self.containers.reclaim(action.instance)
                case TakeOutOfRotation() | ReturnToRotation():
                    self.say(desired.app, action.describe())
                case SetLimits():
                    state = self._set_limits(desired.app, action, state)
                case _:
                    pass  # it changes only the stored state
        return state

    def _set_limits(self, app: str, action: SetLimits, state: AppState) -> AppState:
        try:
            self.containers.set_limits(action.instance, action.limits)
        except RuntimeFailure as failure:  # it uses more memory, or has just ended
            self.say(
                app, f"{action.slot} keeps its limits until it is restarted: {failure.explain()}"
            )
            return state.refused(action.instance, limits_text(action.limits))
        return state

    def _start(
        self, desired: DesiredApp, launches: list[StartInstance | CreateInstance], state: AppState
    ) -> AppState:
        self.containers.set_team_limits(desired.team, desired.team_limits)
        named = [
            (launch, container_spec.new_name(desired.app, launch.slot.process, self.new_suffix()))
            for launch in launches
        ]
        for (launch, fresh), trouble in zip(
            named, _side_by_side(lambda pair: self._launch(desired, *pair), named), strict=True
        ):
            if trouble:  # not the release's fault, so it is retried like a lost instance
                reason = f"It could not be started: {trouble}"
                state = state.crashed(
                    launch.slot, at=self.clock(), reason=reason, instance=fresh, lost=True
                )
        return state

    def _launch(
        self, desired: DesiredApp, launch: StartInstance | CreateInstance, fresh: str
    ) -> str:
        """Start one instance, and return "" or the reason for the failure.

        A failure is recorded like a crash. It does not stop the starts of others.
        """
        try:
            image = self.images.image(launch.release.image)
            spec = container_spec.spec_for(
                desired,
                launch.release,
                image,
                id=fresh,
                slot=launch.slot,
                command=launch.process.command,
                limits=launch.process.limits,
            )
            spec = with_volumes(spec, desired, launch.slot.process, self.volumes)
            if isinstance(launch, StartInstance):
                self.containers.launch(spec)
            else:
                self.containers.create(spec)
        except RuntimeFailure as failure:
            self.containers.remove(fresh)
            return failure.explain()
        return ""

    def _end(
        self, desired: DesiredApp, ends: list[StopInstance | RecordCrash], state: AppState
    ) -> AppState:
        for _ in _side_by_side(lambda action: self._remove(action.instance), ends):
            pass
        for end in ends:
            state = state.without(end.instance)
            if isinstance(end, RecordCrash):
                self.say(desired.app, end.describe())
        return state

    def _remove(self, id: str) -> str:
        self.containers.freeze(id, frozen=False)  # a frozen process does not handle signals
        self.containers.stop(id, GRACE_SECONDS)
        self.before_removal(id)
        self.containers.remove(id)
        return ""


def _kind(action: Action) -> str:
    match action:
        case StartInstance() | CreateInstance():
            return "start"
        case StopInstance() | RecordCrash():
            return "end"
        case SetRoutes() | RemoveRoutes() | SetLimits() | FreezeInstance() | ThawInstance():
            return "change"
        case _:
            return "note"


def _side_by_side(do: Callable[[Item], str], items: list[Item]) -> Iterator[str]:
    if len(items) == 1:
        yield do(items[0])
        return
    with ThreadPoolExecutor(max_workers=SIDE_BY_SIDE) as pool:
        yield from pool.map(do, items)
