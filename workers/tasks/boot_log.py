"""Copies what the instances of a new release print while they boot to the log of its build. So one
log has the whole deploy, also after the app's own log was rotated.

The position is stored after each copy. If a worker is killed between the two, its last lines appear
twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from portal.logs.logfile import LogLine, Reader, tail
from portal.releases.access import config_of_release
from portal.releases.models import Release, Rollout
from runtime import journal
from runtime.converge import container_spec
from runtime.converge.observed import ObservedInstance
from runtime.engines.node import NodeEngine
from runtime.logs import logfile
from runtime.masking import Mask

log = logging.getLogger(__name__)

MOST = 2 * 2**20  # bytes of one rollout
_OLD = 86_400.0  # seconds; a rollout is shorter
_RELEASE_PHASE = "release."  # the beginning of its source


@dataclass(frozen=True, slots=True, kw_only=True)
class _Position:
    """The id of the last copied line of the app's log, and the bytes that may still be copied."""

    build: int
    place: str
    left: int


def begin(rollout: Rollout, engine: NodeEngine) -> None:
    """Copy from now on, if this is the first release of a build. Does nothing the second time."""
    path = _path(rollout, engine)
    if path.exists() or not _is_first_of_its_build(rollout.release):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent)
    newest = tail(_app_log(rollout, engine), 1)
    build = rollout.release.build_id
    assert build is not None  # by _is_first_of_its_build
    _write(path, _Position(build=build, place=newest[-1].id if newest else "", left=MOST))
    _say(build, f"Rolling out v{rollout.release.number}.", engine)


def copy(
    rollout: Rollout,
    engine: NodeEngine,
    observed: Sequence[ObservedInstance] = (),
    *,
    is_last: bool = False,
) -> None:
    """Copy the lines that the release's instances, or its release phase, have printed since the
    last call.

    `is_last`: the rollout ends, so that no lines are left for a later call. A full disk stops the
    copy, not the rollout.
    """
    path = _path(rollout, engine)
    if (position := _read(path)) is None:
        return
    instances = [
        instance for instance in observed if instance.slot.group.release == rollout.release.number
    ]
    if is_last:
        for instance in instances:
            if container := engine.containers.state(instance.id):
                engine.ship(container)
    sources = {
        container_spec.source_of(instance.id, instance.slot.process) for instance in instances
    }
    try:
        after = _copy_lines(rollout, position, sources, engine)
    except OSError as error:
        log.warning("The boot of %s was not copied: %s", rollout.release.app.name, error)
        is_last = True
    if is_last:
        path.unlink(missing_ok=True)
    elif after != position:
        _write(path, after)


def _copy_lines(
    rollout: Rollout, position: _Position, sources: set[str], engine: NodeEngine
) -> _Position:
    place, found = position.place, list[LogLine]()
    with Reader(_app_log(rollout, engine), after=place or None) as reader:
        while lines := reader.read():
            place = lines[-1].id
            found += [
                line
                for line in lines
                if line.source in sources or line.source.startswith(_RELEASE_PHASE)
            ]
    left = position.left
    if found and left > 0:
        mask = Mask(config_of_release(rollout.release).values())
        texts = [
            logfile.line(
                logfile.timestamp(line.at.timestamp()), line.source, line.stream, mask(line.text)
            )
            for line in found
            if line.at is not None
        ]
        kept = []
        for text in texts:
            if (left := left - len(text)) <= 0:
                break
            kept.append(text)
        logfile.append(_build_log(position.build, engine), kept, user=engine.config.user)
        if left <= 0:
            text = (
                f"The boot prints more than {MOST // 2**20} MiB. The app's log has the rest of it."
            )
            _say(position.build, text, engine)
    return _Position(build=position.build, place=place, left=left)


def _is_first_of_its_build(release: Release) -> bool:
    """Return False for a release that uses the image of an earlier one, such as a config change."""
    return (
        release.build_id is not None
        and not Release.objects.filter(build=release.build_id, number__lt=release.number).exists()
    )


def _say(build: int, text: str, engine: NodeEngine) -> None:
    line = logfile.line(logfile.timestamp(time.time()), "slipway", "system", text)
    logfile.append(_build_log(build, engine), [line], user=engine.config.user)


def _app_log(rollout: Rollout, engine: NodeEngine) -> Path:
    return engine.config.app_logs / f"{rollout.release.app.handle}.log"


def _build_log(build: int, engine: NodeEngine) -> Path:
    return engine.config.build_logs / f"{build}.log"


def _path(rollout: Rollout, engine: NodeEngine) -> Path:
    return engine.config.state / "boot-logs" / f"{rollout.pk}.json"


def _read(path: Path) -> _Position | None:
    try:
        found = journal.read_json(path)
    except ValueError:  # cut short by a power failure
        return None
    return (
        _Position(build=int(found["build"]), place=str(found["place"]), left=int(found["left"]))
        if found
        else None
    )


def _write(path: Path, position: _Position) -> None:
    values = {"build": position.build, "place": position.place, "left": position.left}
    journal.write_json(path, values, durable=False)


def _sweep(folder: Path) -> None:
    """Remove the positions of rollouts that were superseded."""
    for path in folder.glob("*.json"):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _OLD:
                path.unlink()
