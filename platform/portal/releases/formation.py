"""Choose the count and size of new process types, by the manifest and within the team's quota."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from portal.apps.declared import Declared
from portal.apps.models import App, ProcessFormation
from portal.apps.sizes import Size
from portal.errors import QuotaExceeded
from portal.quotas import decision
from portal.quotas.models import Quota
from runtime.contract.manifest import Process

WEB = "web"  # the process type that gets requests
RELEASE_PHASE = "release"  # a process type that runs once before a rollout and never has instances


def set_formation(app: App, processes: Mapping[str, str], declared: Declared) -> list[str]:
    """Set the count and size of each new process type. Return notes about the choices.

    `web` gets one instance. Other types get none until they are scaled, unless the manifest
    declares them, or the app has a single type. Until the app is live, this also applies to types
    that nobody has scaled, and all types are checked again: until then they have no share of the
    quota. Raise QuotaExceeded if the quota does not even allow one instance of `web`.
    """
    quota = decision.lock(app.team)
    known = {row.process: row for row in ProcessFormation.objects.filter(app=app)}
    is_first = app.current_release_id is None
    kinds = sorted(processes.keys() - {RELEASE_PHASE}, key=lambda name: (name != WEB, name))
    sizes: dict[str, Size] = {}
    notes = []
    for process in kinds:
        row, wish = known.get(process), declared.processes.get(process)
        if row is not None and not is_first:
            continue
        if row is not None and (row.by_person or (wish is None and (row.count or process != WEB))):
            candidates = [Size.of(row)]
        elif process != WEB and wish is None and len(kinds) > 1:
            candidates = [decision.first_size(quota, count=0)]
        else:
            candidates = list(_candidates(quota, wish))
        size, refused = _first_that_fits(app, quota, sizes, process, candidates)
        sizes[process] = size
        if row is None or Size.of(row) != size:
            notes.append(_note(process, size, wish, declared.file, refused))
            _write(app, process, size)
    return notes


def check_quota_again(app: App) -> None:
    """Raise QuotaExceeded unless the quota allows the app's formation, before it is rolled out
    again. An app that is live holds its share already."""
    rows = ProcessFormation.objects.filter(app=app)
    if app.current_release_id is None:
        decision.check_formation(app.team, app, {row.process: Size.of(row) for row in rows})


def _write(app: App, process: str, size: Size) -> None:
    values = {
        "count": size.count,
        "cpu": size.cpu,
        "memory": size.memory,
        "processes": size.processes,
        "disk": size.disk,
    }
    ProcessFormation.objects.update_or_create(app=app, process=process, defaults=values)


def _first_that_fits(
    app: App, quota: Quota, sizes: Mapping[str, Size], process: str, candidates: Sequence[Size]
) -> tuple[Size, str]:
    """Return the first size that the quota allows next to `sizes`, and why larger ones are
    refused."""
    refused: QuotaExceeded | None = None
    for size in candidates:
        try:
            decision.check_formation(app.team, app, {**sizes, process: size})
        except QuotaExceeded as refusal:
            refused = refused or refusal
        else:
            return size, refused.sentence if refused else ""
    if process == WEB and refused is not None:
        raise refused
    return decision.first_size(quota, count=0), refused.sentence if refused else ""


def _candidates(quota: Quota, wish: Process | None) -> Iterator[Size]:
    """Yield sizes from the declared size down to one instance of the default size."""
    first = decision.first_size(quota)
    if wish is not None:
        wished = replace(
            Size(),
            count=1 if wish.count is None else wish.count,
            **{
                name: value
                for name, value in (
                    ("cpu", wish.sizes.cpu),
                    ("memory", wish.sizes.memory),
                    ("disk", wish.sizes.disk),
                    ("processes", wish.sizes.pids),
                )
                if value is not None
            },
        )
        held = decision.limited_by(wished, quota)
        yield wished if _declares_size(wish) else held
        yield held
        if held.count > 1:
            yield replace(held, count=1)
    yield first


def _declares_size(wish: Process) -> bool:
    return any(
        value is not None
        for value in (wish.sizes.cpu, wish.sizes.memory, wish.sizes.disk, wish.sizes.pids)
    )


def _note(process: str, size: Size, wish: Process | None, file: str, refused: str) -> str:
    if size.count == 0 and refused:
        return f"{process} will have no instances: {refused}"
    if wish is None or (wish.count is None and not _declares_size(wish)):
        if size.count == 0:
            return f"{process} is new and has no instances. Scale it to start it"
        return f"{process} is new and will have one instance. You can scale it"
    if refused:
        return f"{process} is new: {size.describe()}, which is less than {file} declares. {refused}"
    return f"{process} is new: {size.describe()}, as declared in {file}. You can scale it"
