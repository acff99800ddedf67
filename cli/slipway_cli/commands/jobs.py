"""Cron jobs, and the runs of jobs and release commands."""

from __future__ import annotations

import typer

from slipway_cli.options import AppOption, JsonOption, app_path, connect, output
from slipway_cli.project import part

cron = typer.Typer()
runs = typer.Typer()
app = typer.Typer()
app.add_typer(cron, name="cron")
app.add_typer(runs, name="runs")


@cron.callback(invoke_without_command=True)
def list_crons(context: typer.Context, app: AppOption = None, *, json: JsonOption = False) -> None:
    """List cron jobs and their next times, or run one."""
    if context.invoked_subcommand is not None:
        return
    found = connect().get(f"{app_path(app)}/crons")
    rows = [
        [item["name"], item["schedule"], item["timezone"], item["command"], item["next_at"]]
        for item in found
    ]
    output(json=json).table(
        ["Job", "Schedule", "Time zone", "Command", "Next"],
        rows,
        found,
        none="There are no cron jobs: slipway.toml or app.json defines them.",
    )


@cron.command("run")
def run_cron(name: str, app: AppOption = None, *, json: JsonOption = False) -> None:
    """Run a cron job now."""
    started = connect().post(f"{app_path(app)}/crons/{part(name)}/run")
    output(json=json).result(f"Run {started['id']} of {name} starts.", started)


@runs.callback(invoke_without_command=True)
def list_runs(context: typer.Context, app: AppOption = None, *, json: JsonOption = False) -> None:
    """List the latest runs, or stop one."""
    if context.invoked_subcommand is not None:
        return
    found = connect().get(f"{app_path(app)}/runs")
    rows = [
        [item["id"], item["kind"], item["name"], item["state"], item["seconds"], item["created_at"]]
        for item in found
    ]
    output(json=json).table(
        ["Run", "Kind", "Name", "State", "Seconds", "Created"], rows, found, none="No runs yet."
    )


@runs.command()
def stop(number: int, app: AppOption = None, *, json: JsonOption = False) -> None:
    """Stop a run."""
    stopped = connect().post(f"{app_path(app)}/runs/{number}/stop")
    output(json=json).result(f"Run {number} is stopped.", stopped)
