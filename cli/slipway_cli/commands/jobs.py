"""One-off commands, cron jobs, and their runs."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from slipway_cli.errors import CommandFailed
from slipway_cli.options import (
    AppOption,
    JsonOption,
    QuietOption,
    app_path,
    connect,
    output,
)
from slipway_cli.project import part

cron = typer.Typer()
runs = typer.Typer()
app = typer.Typer()
app.add_typer(cron, name="cron")
app.add_typer(runs, name="runs")


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def run(
    words: Annotated[list[str], typer.Argument(help="The command; all that follows is its own.")],
    app: AppOption = None,
    *,
    timeout: Annotated[float, typer.Option(help="Seconds, at most a day.")] = 3600.0,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run a command once, in its own instance of the live release, and print its output.

    The exit code is the command's. Ctrl-C stops the run. It has no terminal and no input.
    Example: slipway run --app shop python manage.py migrate
    """
    portal, path = connect(), app_path(app)
    shown = output(json=json, quiet=quiet)
    # One word is a line for the shell; several are quoted, so that each stays one word.
    line = words[0] if len(words) == 1 else shlex.join(words)
    started = portal.post(f"{path}/runs", {"command": line, "timeout": timeout})
    number = started["id"]
    try:
        for text in portal.lines(f"{path}/runs/{number}/log", follow=True):
            shown.line(_without_source(text))
    except KeyboardInterrupt:
        portal.post(f"{path}/runs/{number}/stop")
        shown.say(f"Run {number} is stopped.")
        raise
    ended = portal.get(f"{path}/runs/{number}")
    if shown.as_json:
        shown.json(ended)
    if ended["state"] != "succeeded":
        if ended["exit_code"]:
            raise typer.Exit(ended["exit_code"])
        raise CommandFailed(
            f"Run {number} {ended['state']}: {ended['reason']}",
            hint=f"`slipway logs --instance run.{number}` shows its output.",
        )


def _without_source(line: str) -> str:
    """Return a line of a run's log without its time and source."""
    return line.split(" ", 2)[2] if line.count(" ") > 1 else ""


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
