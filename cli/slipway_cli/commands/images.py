"""Images of an app: their layers, tags, and files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from slipway_cli.errors import CommandFailed
from slipway_cli.options import AppOption, JsonOption, app_path, connect, output
from slipway_cli.output import bytes_of
from slipway_cli.project import part

if TYPE_CHECKING:  # its HTTP client is slow to import
    from slipway_cli.portal import Portal

image = typer.Typer()
app = typer.Typer()
app.add_typer(image, name="image")

_INTERVAL = 0.3  # seconds between two looks at a job


@image.callback(invoke_without_command=True)
def list_images(context: typer.Context, app: AppOption = None, *, json: JsonOption = False) -> None:
    """List an app's images, or work with one. An image is named by its tag or digest."""
    if context.invoked_subcommand is not None:
        return
    found = connect().get(f"{app_path(app)}/images")
    rows = [
        [
            item["name"],
            " ".join(item["tags"]),
            item["layers"],
            bytes_of(item["own_bytes"]),
            bytes_of(item["shared_bytes"]),
            item["digest"],
        ]
        for item in found
    ]
    output(json=json).table(
        ["Image", "Tags", "Layers", "Own", "Shared", "Digest"], rows, found, none="No images yet."
    )


@image.command()
def show(name: str, app: AppOption = None, *, json: JsonOption = False) -> None:
    """List an image's layers, bottom first."""
    found = connect().get(f"{app_path(app)}/images/{part(name)}")
    rows = [
        [bytes_of(layer["unpacked_bytes"]), layer["created_by"], layer["digest"]]
        for layer in found["layers"]
    ]
    output(json=json).table(["Size", "Made by", "Digest"], rows, found, none="No layers.")


@image.command()
def compare(name: str, other: str, app: AppOption = None, *, json: JsonOption = False) -> None:
    """List the files that differ between two images."""
    portal, path = connect(), app_path(app)
    job = portal.post(f"{path}/images/{part(name)}/compare", {"to": other})
    ended = _finished(portal, path, job)
    rows = [[item["kind"], item["path"], bytes_of(item["bytes"])] for item in ended["changes"]]
    output(json=json).table(["Change", "Path", "Size"], rows, ended, none="No file differs.")


@image.command()
def save(
    name: str,
    file: Annotated[Path, typer.Argument(help="The archive to write.")],
    app: AppOption = None,
    *,
    format: Annotated[Literal["oci", "docker"], typer.Option()] = "oci",
) -> None:
    """Download an image as an archive, for `docker load` or `skopeo`."""
    portal, path = connect(), app_path(app)
    job = portal.post(f"{path}/images/{part(name)}/save", {"format": format})
    ended = _finished(portal, path, job)
    with file.open("wb") as target:
        size = portal.download(f"{path}/image-jobs/{ended['id']}/file", target)
    output().say(f"{file}: {bytes_of(size)}")


@image.command()
def deploy(name: str, app: AppOption = None, *, json: JsonOption = False) -> None:
    """Roll out an image of the app as a new release."""
    rollout = connect().post(f"{app_path(app)}/images/{part(name)}/deploy")
    output(json=json).result(f"v{rollout['release']} rolls out.", rollout)


@image.command()
def tag(name: str, tag: str, app: AppOption = None) -> None:
    """Give an image a tag."""
    connect().put(f"{app_path(app)}/tags/{part(tag)}", {"image": name})
    output().say(f"{tag} names {name}.")


@image.command()
def untag(tag: str, app: AppOption = None) -> None:
    """Remove a tag. The image stays while a release needs it."""
    connect().delete(f"{app_path(app)}/tags/{part(tag)}")
    output().say(f"{tag} is removed.")


def _finished(portal: Portal, path: str, job: dict[str, Any]) -> dict[str, Any]:
    """Wait for a job. Raise CommandFailed if it failed."""
    while job["state"] not in {"done", "failed"}:
        time.sleep(_INTERVAL)
        job = portal.get(f"{path}/image-jobs/{job['id']}")
    if job["state"] == "failed":
        raise CommandFailed(f"The platform could not do it: {job['reason']}")
    return job
