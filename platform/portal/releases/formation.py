"""Choose the count and size of new process types, by the manifest and within the team's quota."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from portal.apps.declared import Declared
from portal.apps.models import App, ProcessFormation
from portal.apps.sizes import Size
from portal.errors import QuotaExceeded
from portal.quotas import decision
from portal.quotas.models import Quota
from runtime.contract.manifest import Process

RELEASE_PHASE = "release"  # a process type that runs once before a rollout and never has instances


def form(app: App, processes: Mapping[str, str], declared: Declared) -> list[str]:
    """Set the count and size of each new process type. Return notes about the choices.

    Until the app is live, this also applies to process types that nobody has scaled.
    """
    quota = decision.lock(app.team)
    known = {row.process: row for row in ProcessFormation.objects.filter(app=app)}
    notes = []
    for process in sorted(
        processes.keys() - {RELEASE_PHASE}, key=lambda name: (name != "web", name)
    ):
        row, wish = known.get(process), declared.processes.get(process)
        is_open = (
            row is not None
            and not row.by_person
            and app.current_release_id is None
            and wish is not None
        )
        if row is not None and not is_open:
            continue
        size, words = _first_that_fits(app, quota, process, wish, declared.file)
        if row is not None and Size.of(row) == size:
            continue
        notes.append(words)
        values = {
            "count": size.count,
            "cpu": size.cpu,
            "memory": size.memory,
            "processes": size.processes,
            "disk": size.disk,
        }
        ProcessFormation.objects.update_or_create(app=app, process=process, defaults=values)
    return notes


def _first_that_fits(
    app: App, quota: Quota, process: str, wish: Process | None, file: str
) -> tuple[Size, str]:
    refused = ""
    for size in _candidates(quota, wish):
        try:
            decision.check_formation(app.team, app, {process: size})
        except QuotaExceeded as refusal:
            refused = refused or refusal.sentence
        else:
            return size, _words(process, size, wish, file, refused)
    return (
        decision.first_size(quota, count=0),
        f"{process} is new, but will have no instances: {refused}",
    )


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
        held = decision.held_to(wished, quota)
        yield wished if _says_size(wish) else held
        yield held
        if held.count > 1:
            yield replace(held, count=1)
    yield first


def _says_size(wish: Process) -> bool:
    return any(
        value is not None
        for value in (wish.sizes.cpu, wish.sizes.memory, wish.sizes.disk, wish.sizes.pids)
    )


def _words(process: str, size: Size, wish: Process | None, file: str, refused: str) -> str:
    if wish is None or (wish.count is None and not _says_size(wish)):
        return f"{process} is new and will have one instance. You can scale it"
    if refused:
        return f"{process} is new: {size.describe()}, which is less than {file} declares. {refused}"
    return f"{process} is new: {size.describe()}, as declared in {file}. You can scale it"
