"""Volumes: folders of an app whose files stay."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slipway_cli.errors import CommandFailed, ExitCode
from slipway_cli.options import AppOption, JsonOption, YesOption, app_path, connect, output
from slipway_cli.output import ask, bytes_of
from slipway_cli.project import app_of
from slipway_cli.sizes import bytes_from

if TYPE_CHECKING:  # its HTTP client is slow to import
    from slipway_cli.portal import Portal

volumes = typer.Typer()
snapshots = typer.Typer(no_args_is_help=True, help="Snapshots of a volume.")
volumes.add_typer(snapshots, name="snapshots")
app = typer.Typer()
app.add_typer(volumes, name="volumes")

_INTERVAL = 0.3  # seconds between two looks at a job

ProcessOption = Annotated[
    list[str] | None, typer.Option("--process", "-p", help="A process type; repeat for several.")
]
OverlapOption = Annotated[
    bool | None,
    typer.Option(
        "--overlap/--stop-then-start",
        help="Whether old and new instances may use the volume at once during a rollout.",
    ),
]


@volumes.callback(invoke_without_command=True)
def list_volumes(
    context: typer.Context,
    app: AppOption = None,
    *,
    every: Annotated[
        bool, typer.Option("--all", help="Of all your teams, also detached and deleted ones.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """List an app's volumes, or work with one. A volume is named by its name in the app, or by
    its number."""
    if context.invoked_subcommand is not None:
        return
    found = connect().get("/volumes") if every else connect().get(f"{app_path(app)}/volumes")
    output(json=json).table(
        ["Number", "Volume", "App", "Path", "Size", "Used", "Processes", "Rollout", "State"],
        [_row(item) for item in found],
        found,
        none="There are no volumes. `slipway volumes create NAME --path PATH --size 1G` makes one.",
    )


def _row(item: dict[str, Any]) -> list[object]:
    return [
        item["number"],
        item["name"],
        item["app"] or f"({item['last_app']})",
        item["path"],
        bytes_of(item["size"]),
        bytes_of(item["used"]),
        " ".join(item["processes"]) or "all",
        item["rollout"],
        "deleted" if item["deleted_at"] else item["state"],
    ]


@volumes.command()
def create(
    name: str,
    app: AppOption = None,
    *,
    path: Annotated[str, typer.Option(help="Where instances see it, for example /data.")],
    size: Annotated[str, typer.Option(help="For example 512M or 10G.")],
    process: ProcessOption = None,
    overlap: OverlapOption = None,
    json: JsonOption = False,
) -> None:
    """Create a volume and attach it. Instances get it when they next start."""
    body: dict[str, object] = {"name": name, "path": path, "size": bytes_from(size)}
    if process:
        body["processes"] = process
    if overlap is not None:
        body["overlap"] = overlap
    made = connect().post(f"{app_path(app)}/volumes", body)
    output(json=json).result(f"Created {made['name']}, number {made['number']}.", made)


@volumes.command()
def change(
    name: str,
    app: AppOption = None,
    *,
    size: Annotated[str | None, typer.Option(help="A larger size.")] = None,
    path: Annotated[str | None, typer.Option()] = None,
    process: ProcessOption = None,
    overlap: OverlapOption = None,
    json: JsonOption = False,
) -> None:
    """Enlarge a volume, or change its path, process types or rollout."""
    changes: dict[str, object] = {
        key: value
        for key, value in {
            "size": bytes_from(size) if size else None,
            "path": path,
            "processes": process or None,
            "overlap": overlap,
        }.items()
        if value is not None
    }
    if not changes:
        raise CommandFailed("Nothing to change is named.", code=ExitCode.USAGE)
    portal = connect()
    changed = portal.patch(f"/volumes/{_number(portal, app, name)}", changes)
    output(json=json).result(f"{changed['name']} is changed.", changed)


@volumes.command()
def detach(name: str, app: AppOption = None) -> None:
    """Detach a volume from its app. Its data stays."""
    portal = connect()
    number = _number(portal, app, name)
    portal.post(f"/volumes/{number}/detach")
    output().say(f"{name} is detached. `slipway volumes attach {number}` attaches it again.")


@volumes.command()
def attach(
    number: int,
    app: AppOption = None,
    *,
    path: Annotated[str, typer.Option(help="Another path than before.")] = "",
    json: JsonOption = False,
) -> None:
    """Attach a detached volume to an app, or restore a deleted one. Needs its number."""
    body = {"app": app_of(app), "path": path}
    attached = connect().post(f"/volumes/{number}/attach", body)
    output(json=json).result(f"{attached['name']} is attached to {attached['app']}.", attached)


@volumes.command()
def delete(name: str, app: AppOption = None, *, yes: YesOption = False) -> None:
    """Delete a volume. It can be restored for seven days."""
    portal = connect()
    found = portal.get(f"/volumes/{_number(portal, app, name)}")
    ask(f"This deletes the volume {found['name']}.", expected=found["name"], assume=yes)
    portal.delete(f"/volumes/{found['number']}", confirm=found["name"])
    output().say(
        f"{found['name']} is deleted. For seven days, `slipway volumes attach {found['number']}`"
        " restores it."
    )


@volumes.command("ls")
def list_files(
    name: str,
    folder: Annotated[str, typer.Argument(help="A folder of the volume.")] = "",
    app: AppOption = None,
    *,
    json: JsonOption = False,
) -> None:
    """List the files in a folder of a volume."""
    portal = connect()
    number = _number(portal, app, name)
    job = portal.post(f"/volumes/{number}/files", {"place": folder})
    ended = _finished(portal, number, job)
    rows = [
        [item["kind"], bytes_of(item["size"]), item["name"], item["link"]]
        for item in ended["files"]
    ]
    output(json=json).table(["Kind", "Size", "Name", "Leads to"], rows, ended, none="It is empty.")


@volumes.command()
def download(name: str, file: Path, app: AppOption = None) -> None:
    """Download all files of a volume as an archive."""
    portal = connect()
    number = _number(portal, app, name)
    _finished(portal, number, portal.post(f"/volumes/{number}/download"))
    with file.open("wb") as target:
        size = portal.download(f"/volumes/{number}/archive", target)
    output().say(f"{file}: {bytes_of(size)}")


@volumes.command()
def upload(
    name: str,
    archive: Annotated[Path, typer.Argument(help="A zip, or a tar with or without compression.")],
    app: AppOption = None,
    *,
    place: Annotated[str, typer.Option(help="The folder of the volume to unpack into.")] = "",
) -> None:
    """Unpack an archive into a volume."""
    portal = connect()
    number = _number(portal, app, name)
    try:
        content = archive.open("rb")
    except OSError as error:
        raise CommandFailed(
            f"{archive} could not be read: {error}.", code=ExitCode.USAGE
        ) from error
    with content:
        path = f"/volumes/{number}/upload"
        job = portal.upload(path, "archive", archive.name, content, place=place)
    _finished(portal, number, job)
    output().say(f"{archive} is unpacked into {name}.")


@volumes.command()
def clone(
    name: str,
    new: Annotated[str, typer.Argument(help="The name of the copy.")],
    app: AppOption = None,
    *,
    snapshot: Annotated[int | None, typer.Option(help="Of this snapshot.")] = None,
    json: JsonOption = False,
) -> None:
    """Copy a volume, or a snapshot of it, to a new detached volume."""
    portal = connect()
    body = {"name": new, "snapshot": snapshot}
    made = portal.post(f"/volumes/{_number(portal, app, name)}/clone", body)
    output(json=json).result(f"{new} is being made as number {made['number']}.", made)


@snapshots.command("list")
def list_snapshots(name: str, app: AppOption = None, *, json: JsonOption = False) -> None:
    """List the snapshots of a volume."""
    portal = connect()
    found = portal.get(f"/volumes/{_number(portal, app, name)}/snapshots")
    rows = [
        [item["number"], item["note"], bytes_of(item["bytes"]), item["created_at"]]
        for item in found
    ]
    output(json=json).table(
        ["Snapshot", "Note", "Size", "Created"], rows, found, none="There are no snapshots."
    )


@snapshots.command("take")
def take_snapshot(
    name: str,
    app: AppOption = None,
    *,
    note: Annotated[str, typer.Option()] = "",
    json: JsonOption = False,
) -> None:
    """Take a snapshot. Writes to the volume wait until it is complete."""
    portal = connect()
    made = portal.post(f"/volumes/{_number(portal, app, name)}/snapshots", {"note": note})
    output(json=json).result(f"Snapshot {made['number']} of {name} is being taken.", made)


@snapshots.command()
def restore(name: str, snapshot: int, app: AppOption = None, *, yes: YesOption = False) -> None:
    """Replace the content of a volume by a snapshot."""
    portal = connect()
    found = portal.get(f"/volumes/{_number(portal, app, name)}")
    ask(
        f"This replaces the content of {found['name']} by snapshot {snapshot}.",
        expected=found["name"],
        assume=yes,
    )
    number = found["number"]
    job = portal.post(f"/volumes/{number}/snapshots/{snapshot}/restore", confirm=found["name"])
    _finished(portal, number, job)
    output().say(f"{found['name']} has the content of snapshot {snapshot}.")


@snapshots.command("delete")
def delete_snapshot(name: str, snapshot: int, app: AppOption = None) -> None:
    """Delete a snapshot."""
    portal = connect()
    portal.delete(f"/volumes/{_number(portal, app, name)}/snapshots/{snapshot}")
    output().say(f"Snapshot {snapshot} of {name} is being deleted.")


def _number(portal: Portal, app: str | None, name: str) -> int:
    """Return the number of a volume that is named by its number, or by its name in an app."""
    if name.isdecimal():
        return int(name)
    found: list[dict[str, Any]] = portal.get(f"{app_path(app)}/volumes")
    for item in found:
        if item["name"] == name:
            return int(item["number"])
    raise CommandFailed(
        f"The app has no volume {name}.",
        hint="`slipway volumes` lists them; `slipway volumes --all` also those of no app.",
        code=ExitCode.NOT_FOUND,
    )


def _finished(portal: Portal, number: int, job: dict[str, Any]) -> dict[str, Any]:
    """Wait for a job on a volume. Raise CommandFailed if it failed."""
    while job["state"] not in {"done", "failed"}:
        time.sleep(_INTERVAL)
        job = portal.get(f"/volumes/{number}/jobs/{job['id']}")
    if job["state"] == "failed":
        raise CommandFailed(f"The platform could not do it: {job['reason']}")
    return job
