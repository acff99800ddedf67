"""The log of an app."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from slipway_cli.options import AppOption, app_path, connect

app = typer.Typer()


@app.command()
def logs(
    app: AppOption = None,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with new lines until Ctrl-C.")
    ] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=10_000)] = 100,
    search: Annotated[
        str | None, typer.Option("--search", "-s", help="Only lines with it.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="A process type, `router` or `slipway`.")
    ] = None,
    instance: Annotated[str | None, typer.Option(help="As `slipway ps` names it.")] = None,
    level: Annotated[
        Literal["error", "warning"] | None, typer.Option(help="This level and worse ones.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="For example 2026-01-31T08:00:00Z.")] = None,
    until: Annotated[str | None, typer.Option(help="The same; not with --follow.")] = None,
    checks: Annotated[bool, typer.Option(help="With the requests of health checks.")] = False,
) -> None:
    """Print an app's log. The portal filters; all kept lines are searched."""
    for line in connect().lines(
        f"{app_path(app)}/log",
        follow=follow,
        lines=lines,
        search=search,
        source=source,
        instance=instance,
        level=level,
        since=since,
        until=until,
        checks=checks,
    ):
        print(line, flush=follow)
